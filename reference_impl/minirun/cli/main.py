"""The command `minirun`: one table of commands, each imported when it is used, so that `--help` is fast."""

from importlib import import_module

import click

# name -> where it is, and its line in the list of commands
COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("up:up", "Run the platform in the foreground."),
    "deploy": ("deploy:deploy", "Deploy a service: create it, or make a new revision."),
    "traffic": ("deploy:traffic", "Split a service's traffic over revisions, set tags."),
    "services": ("objects:services", "List, describe and delete services."),
    "revisions": ("objects:revisions", "List, describe and delete revisions."),
    "images": ("objects:images", "List and remove built images."),
    "build": ("images:build", "Build an image from a folder."),
    "apply": ("manifests:apply", "Create or update what a YAML file declares."),
    "export": ("manifests:export", "Print a service as YAML for kubectl apply, here or elsewhere."),
    "logs": ("observe:logs", "Show what a service's instances printed."),
    "invoke": ("observe:invoke", "Send a service a request."),
    "top": ("observe:top", "Watch instances, concurrency and requests of all revisions."),
    "demo": ("demo:demo", "See it all in a minute: deploy, scale, split, roll back, sleep, wake."),
    "replay": ("tools:replay", "Replay recorded vectors and count what differs."),
    "simulate": ("tools:simulate", "Run a trace of traffic through the platform in virtual time."),
    "bench": ("tools:bench", "Run the benchmarks."),
    "completion": ("tools:completion", "Print the completion script of a shell."),
    "version": ("tools:version", "Print the version."),
}


class LazyGroup(click.Group):
    """A group that imports a command when it is called, and lists all of them without."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name][0].partition(":")
        command = getattr(import_module(f"minirun.cli.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Cloud Run and Knative Serving in small.

    Start a platform with `minirun up` in one terminal; use it from another. The API is found by MINIRUN_API
    (default http://127.0.0.1:8081) and MINIRUN_TOKEN.
    """


def main() -> None:
    """Runs the command line; the exit status is 0, 1 for a failure, 2 for a wrong use."""
    cli(prog_name="minirun")
