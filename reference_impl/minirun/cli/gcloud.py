"""`minirun gcloud`: the user's own gcloud, pointed at this platform by a configuration of its own.

gcloud takes the API's address for its HTTP proxy and asks for `http://*.googleapis.com/`, which the API
answers itself; so nothing needs DNS, TLS or root, and nothing leaves the machine. The configuration is a
folder for each API address; the user's own is neither read nor written. The account in it is the platform's
owner, with the key that the platform made.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from configparser import ConfigParser
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import click
import msgspec
from platformdirs import user_data_path

from minirun.cli.client import Client
from minirun.cli.common import connect, note
from minirun.identity.account import ACCOUNT_SECRET, OWNER, PEM, key_file
from minirun.model.resources import Secret
from minirun.model.settings import SYSTEM_NAMESPACE

NAME: Final = "minirun"  # of the configuration
PROJECT: Final = "demo"
OVERRIDDEN: Final = (
    "run",
    "serviceusage",
    "logging",
    "cloudresourcemanager",
    "iam",
    "iamcredentials",
    "cloudscheduler",
    "cloudtasks",
    "container",
)


def configuration(host: str, port: int) -> dict[str, dict[str, str]]:
    """The properties of the configuration, by section.

    Args:
        host, port: the API's address.
    """
    return {
        "core": {
            "project": PROJECT,
            "account": OWNER,
            "disable_prompts": "true",
            "check_gce_metadata": "false",
            "disable_usage_reporting": "true",
        },
        "component_manager": {"disable_update_check": "true"},
        "survey": {"disable_prompts": "true"},
        "proxy": {"type": "http", "address": host, "port": str(port)},
        "run": {"region": "us-central1"},
        "api_endpoint_overrides": {name: f"http://{name}.googleapis.com/" for name in OVERRIDDEN},
    }


def environment(folder: Path, api: str, user: Mapping[str, str]) -> dict[str, str]:
    """The environment in which gcloud sees this platform only.

    Args:
        folder: with the configuration.
        api: the API's address.
        user: the user's environment; its `CLOUDSDK_*` would win over the configuration, and are left out.
    """
    kept = {name: value for name, value in user.items() if not name.startswith("CLOUDSDK_")}
    return kept | {"CLOUDSDK_CONFIG": str(folder), "http_proxy": api}


def write_configuration(folder: Path, api: str, pem: str) -> bool:
    """Writes what is not there yet; returns whether the key is a new one, which gcloud has to be given.

    What the user has set in it with `gcloud config set` stays.
    """
    parts = urlsplit(api)
    properties = folder / "configurations" / f"config_{NAME}"
    key, document = folder / "key.json", msgspec.json.encode(key_file(pem, PROJECT, f"{api}/token"))
    if not properties.exists():
        properties.parent.mkdir(parents=True, exist_ok=True)
        file = ConfigParser()
        file.read_dict(configuration(parts.hostname or "", parts.port or 80))
        with properties.open("w", encoding="utf-8") as target:
            file.write(target)
        (folder / "active_config").write_text(NAME, encoding="utf-8")  # gcloud takes no newline at its end
    if key.exists() and key.read_bytes() == document:
        return False
    key.touch(mode=0o600)
    key.write_bytes(document)
    return True


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--print-env", is_flag=True, help="Print the environment for a shell's eval instead.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def gcloud(print_env: bool, arguments: tuple[str, ...]) -> None:
    """Every argument is gcloud's own. The configuration that you have is not touched."""
    program = shutil.which("gcloud")
    if program is None:
        raise click.ClickException(
            "gcloud is not installed (or not on PATH); the Google Cloud CLI is at https://cloud.google.com/sdk"
        )
    with connect() as client:
        folder = _folder(client.api)
        is_new = write_configuration(folder, client.api, _pem(client))
    env = environment(folder, client.api, os.environ)
    if is_new:
        _activate(program, folder / "key.json", env)
    if print_env:
        stale = sorted(name for name in os.environ if name.startswith("CLOUDSDK_"))
        click.echo("".join(f"unset {name}\n" for name in stale if name != "CLOUDSDK_CONFIG"), nl=False)
        click.echo(f"export CLOUDSDK_CONFIG='{folder}'")
    else:
        sys.exit(subprocess.run([program, *arguments], env=env, check=False).returncode)


def _activate(program: str, key: Path, env: Mapping[str, str]) -> None:
    """Gives gcloud the key, so that it can get tokens with it."""
    note("giving gcloud the platform's key, once ...")
    command = [program, "auth", "activate-service-account", f"--key-file={key}", "--quiet"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        key.unlink()
        raise click.ClickException(f"gcloud did not take the platform's key: {done.stderr.strip()}")


def _folder(api: str) -> Path:
    return user_data_path("minirun") / "gcloud" / urlsplit(api).netloc.replace(":", "-")


def _pem(client: Client) -> str:
    secret = client.find(Secret, SYSTEM_NAMESPACE, ACCOUNT_SECRET)
    if secret is None:
        raise click.ClickException("the platform is still making its key; try again in a second")
    return secret.data[PEM].decode()
