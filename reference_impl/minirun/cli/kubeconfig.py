"""`minirun kubeconfig`: how kubectl, kn and client libraries find the running platform."""

import os
from pathlib import Path

import click
import yaml

from minirun.cli.common import connect

NAME = "minirun"


def configuration(server: str, token: str | None) -> dict[str, object]:
    """A kubeconfig with one cluster, one user and one context.

    Args:
        server: the API's address.
        token: what the user shows; None where nobody asks.
    """
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": NAME, "cluster": {"server": server}}],
        "users": [{"name": NAME, "user": {"token": token} if token else {}}],
        "contexts": [{"name": NAME, "context": {"cluster": NAME, "user": NAME, "namespace": "default"}}],
        "current-context": NAME,
    }


@click.command()
@click.option("--write", type=click.Path(dir_okay=False, path_type=Path), help="A file to write, mode 600.")
def kubeconfig(write: Path | None) -> None:
    """It goes to standard output, or to a file; kubectl reads the file that KUBECONFIG names."""
    client = connect()
    client.ping()
    text = yaml.safe_dump(configuration(client.api, client.token), sort_keys=False)
    if write is None:
        click.echo(text, nl=False)
        return
    write.unlink(missing_ok=True)
    with os.fdopen(os.open(write, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
