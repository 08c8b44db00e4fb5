"""`minirun kubeconfig`: how kubectl, kn and client libraries find the running platform."""

import base64
import os
from pathlib import Path

import click
import yaml

from minirun.cli.client import Client
from minirun.cli.common import connect
from minirun.identity.account import AUTHORITY_SECRET
from minirun.model.resources import Secret
from minirun.model.settings import SYSTEM_NAMESPACE

NAME = "minirun"


def configuration(server: str, token: str | None, authority: bytes = b"") -> dict[str, object]:
    """A kubeconfig with one cluster, one user and one context.

    Args:
        server: the API's address.
        token: what the user shows; None where nobody asks.
        authority: the certificate of who signed the server's, as PEM; empty without TLS.
    """
    trust = {"certificate-authority-data": base64.b64encode(authority).decode()} if authority else {}
    if authority and not token:
        token = "none"  # over TLS kubectl asks for a password where a user has nothing to show
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": NAME, "cluster": {"server": server, **trust}}],
        "users": [{"name": NAME, "user": {"token": token} if token else {}}],
        "contexts": [{"name": NAME, "context": {"cluster": NAME, "user": NAME, "namespace": "default"}}],
        "current-context": NAME,
    }


@click.command()
@click.option("--write", type=click.Path(dir_okay=False, path_type=Path), help="A file to write, mode 600.")
@click.option("--tls", metavar="HOST:PORT", help="The address that `minirun up --tls` was given.")
def kubeconfig(write: Path | None, tls: str | None) -> None:
    """It goes to standard output, or to a file; kubectl reads the file that KUBECONFIG names."""
    client = connect()
    client.ping()
    server, authority = (f"https://{tls}", _authority(client)) if tls else (client.api, b"")
    text = yaml.safe_dump(configuration(server, client.token, authority), sort_keys=False)
    if write is None:
        click.echo(text, nl=False)
        return
    write.unlink(missing_ok=True)
    with os.fdopen(os.open(write, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def _authority(client: Client) -> bytes:
    secret = client.find(Secret, SYSTEM_NAMESPACE, AUTHORITY_SECRET)
    if secret is None:
        message = "the platform has no certificates; start it with minirun up --tls HOST:PORT"
        raise click.ClickException(message)
    return secret.data["tls.crt"]
