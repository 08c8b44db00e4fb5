"""The whole platform with the learner's part in it, driven as a client would: over HTTP on loopback."""

import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any  # plans and answers are JSON of many shapes

HOST, REQUESTS, API = "127.0.0.1", 18080, 18081
UP_SECONDS, REQUEST_SECONDS, LOOK_SECONDS = 20.0, 30.0, 0.02
MAX_BODY_BYTES = 2_000


def play(case: dict[str, Any]) -> list[Any]:
    """Start the platform, do what `steps` say, end it; what came of each step.

    {"apply": {path: object}} puts objects (a POST to the API's path); {"get": path} reads one;
    {"until": path, "field": [...], "is": value, "seconds": n} waits for a field, and answers whether it came;
    {"requests": [{host, path}], "parallel": n} sends requests, and answers [status, body, seconds] of each;
    {"rest": n} waits.
    """
    with tempfile.TemporaryDirectory() as folder:
        settings = ["--settings", _write(folder, case["settings"])] if "settings" in case else []
        addresses = ["--listen", f"{HOST}:{REQUESTS}", "--api", f"{HOST}:{API}"]
        command = [
            sys.executable,
            "-m",
            "minirun",
            "up",
            *addresses,
            "--data-dir",
            f"{folder}/data",
            *settings,
        ]
        platform = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        try:
            assert platform.stdout is not None
            if not platform.stdout.readline():
                raise RuntimeError(f"the platform ended with exit status {platform.wait()}")
            return [_do(step) for step in case["steps"]]
        finally:
            platform.terminate()
            try:
                platform.wait(5)
            except subprocess.TimeoutExpired:
                platform.kill()
                platform.wait()


def _write(folder: str, text: str) -> str:
    path = os.path.join(folder, "settings.yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def _do(step: dict[str, Any]) -> Any:
    if "apply" in step:
        return [_call(API, "POST", path, object_)[0] for path, object_ in step["apply"].items()]
    if "get" in step:
        return json.loads(_call(API, "GET", step["get"])[1])
    if "until" in step:
        return _until(step)
    if "requests" in step:
        with ThreadPoolExecutor(step.get("parallel", 1)) as pool:
            return list(pool.map(_request, step["requests"]))
    time.sleep(step["rest"])
    return None


def _until(step: dict[str, Any]) -> bool:
    end = time.monotonic() + step["seconds"]
    while time.monotonic() < end:
        status, body = _call(API, "GET", step["until"])
        value = json.loads(body) if status == 200 else {}
        for name in step["field"]:
            if isinstance(value, list):
                value = next((each for each in value if each.get("type") == name), {})
            else:
                value = value.get(name, {}) if isinstance(value, dict) else {}
        if value == step["is"]:
            return True
        time.sleep(LOOK_SECONDS)
    return False


def _request(request: dict[str, Any]) -> list[Any]:
    began = time.monotonic()
    try:
        status, body = _call(REQUESTS, "GET", request.get("path", "/"), host=request["host"])
    except OSError as error:
        status, body = 0, str(error)
    return [status, body[:MAX_BODY_BYTES], round(time.monotonic() - began, 3)]


def _call(port: int, method: str, path: str, object_: Any = None, host: str = HOST) -> tuple[int, str]:
    connection = http.client.HTTPConnection(HOST, port, timeout=REQUEST_SECONDS)
    try:
        body = None if object_ is None else json.dumps(object_)
        connection.request(method, path, body, {"Host": host, "Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read().decode("utf-8", "replace")
    finally:
        connection.close()
