"""A warm interpreter: imports the usual parts of the standard library, waits for one line, becomes the app.

After `become` the app finds what it would find as `python main.py`: arguments, `sys.path`, environment,
standard input at its end, a fresh `__main__`, tracebacks without us. Only the standard library is loaded. If
its input ends before the line comes, the platform is gone, and so is it.
"""
# ruff: noqa: F401

import asyncio
import builtins
import concurrent.futures
import email.message
import http.server
import json
import logging
import os
import random
import runpy
import selectors
import site
import socketserver
import ssl
import sys
import time
import types
import urllib.request
import uuid
from importlib.machinery import SourceFileLoader
from typing import Any


def read_order() -> dict[str, Any]:
    """The order from standard input, which must not be read past its line's end."""
    line = b""
    while not line.endswith(b"\n"):
        data = os.read(0, 65536)
        if not data:
            os._exit(0)
        line += data
    order: dict[str, Any] = json.loads(line)
    return order


def become(order: dict[str, Any]) -> None:
    """Puts this interpreter into the state in which the app's own would have started."""
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    os.environ.clear()
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    if "TZ" in os.environ:
        time.tzset()
    sys.argv = order["argv"]
    sys.orig_argv = order["orig_argv"]
    sys.executable = os.path.join(os.path.dirname(sys.executable), sys.orig_argv[0])
    folder = os.getcwd() if order["module"] else os.path.dirname(os.path.realpath(sys.argv[0]))
    extra = os.environ.get("PYTHONPATH")
    sys.path[0:1] = [folder, *map(os.path.abspath, extra.split(os.pathsep) if extra else [])]
    site.removeduppaths()
    if extra:
        site.execsitecustomize()
    sys.modules["__main__"] = types.ModuleType("__main__")


def run(order: dict[str, Any]) -> None:
    """Runs the app as `__main__`; an exception is shown as if we were not there."""
    names = sys.modules["__main__"].__dict__
    names.update(__annotations__={}, __builtins__=builtins)
    try:
        if order["module"]:
            runpy._run_module_as_main(sys.argv[0])  # type: ignore[attr-defined]  # what `python -m` calls
        else:
            path = os.path.join(os.getcwd(), sys.argv[0])
            loader = SourceFileLoader("__main__", path)
            names.update(__cached__=None, __file__=path, __loader__=loader)
            exec(compile(loader.get_data(path), path, "exec"), names)
    except Exception as error:
        frames = error.__traceback__.tb_next if error.__traceback__ else None
        sys.excepthook(type(error), error.with_traceback(frames), frames)
        sys.exit(1)


if __name__ == "__main__":
    sys.stdout.write("warm\n")
    sys.stdout.flush()
    order = read_order()
    become(order)
    run(order)
