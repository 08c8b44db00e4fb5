"""The command `minirun`: one table of commands, each imported when it is used, so that `--help` is fast."""

from importlib import import_module

import click

# name -> the module it is in, its line in the list of commands, and examples of what may follow the name;
# a command's own docstring is what else its help says
COMMANDS: dict[str, tuple[str, ...]] = {
    "up": ("up", "Run the platform in the foreground.", "--listen 127.0.0.1:9080 --api 127.0.0.1:9081"),
    "down": ("up", "Remove what the docker runtime made on this machine.", "--all"),
    "deploy": (
        "deploy",
        "Deploy a service: create it, or make a new revision.",
        "hello --image hello --env TARGET=you --concurrency 80",
        "web --source ./web --no-traffic --tag next",
    ),
    "traffic": (
        "deploy",
        "Split a service's traffic over revisions, set tags.",
        "hello --to hello-00001=80 --to hello-00002=20 --tag old=hello-00001",
        "hello --latest",
    ),
    "services": ("objects", "List, describe and delete services.", "list"),
    "revisions": ("objects", "List, describe and delete revisions.", "list"),
    "images": ("objects", "List and remove built images.", "list"),
    "build": ("images", "Build an image from a folder.", "./web -t web:v2"),
    "apply": ("manifests", "Create or update what a YAML file declares.", "-f service.yaml"),
    "export": (
        "manifests",
        "Print a service as YAML for kubectl apply, here or elsewhere.",
        "hello > service.yaml",
    ),
    "logs": ("observe", "Show what a service's instances printed.", "hello -f"),
    "invoke": (
        "observe",
        "Send a service a request.",
        """hello /greet -d '{"name": "you"}' -H 'Content-Type: application/json'""",
    ),
    "kubeconfig": ("kubeconfig", "Print how kubectl and kn find the platform.", "--write minirun.kubeconfig"),
    "top": ("observe", "Watch instances, concurrency and requests of all revisions.", "-n default"),
    "demo": ("demo", "See it all in a minute: deploy, scale, split, roll back, sleep, wake.", ""),
    "gcloud": (
        "gcloud",
        "Run gcloud against this platform, with a configuration of its own.",
        "run deploy hello --image hello --allow-unauthenticated",
        "run services list",
    ),
    "replay": ("tools", "Replay recorded vectors and count what differs.", "scale.jsonl breaker.jsonl.gz"),
    "simulate": (
        "tools",
        "Run a trace of traffic through the platform in virtual time.",
        "day.csv --service-time exp:0.2 --concurrency 10",
    ),
    "placement": (
        "placement",
        "Replay a trace of GPU pods against placement policies.",
        "--nodes nodes.csv --pods pods.csv --order order.json --policy fgd --policy fgd+ --plot curves.png",
    ),
    "bench": ("tools", "Run the benchmarks.", "--help"),
    "completion": ("tools", "Print the completion script of a shell.", "bash > ~/.minirun-completion.bash"),
    "version": ("tools", "Print the version.", "-o json"),
}


def help_text(summary: str, more: str | None, *examples: str) -> str:
    """A command's help: what it does, and one example a line."""
    lines = "".join(f"\n  minirun {example}".rstrip() for example in examples)
    return "\n\n".join(filter(None, (summary, more, f"\b\nExample:{lines}")))


class LazyGroup(click.Group):
    """A group that imports a command when it is called, and lists all of them without."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, summary, *examples = COMMANDS[name]
        command = getattr(import_module(f"minirun.cli.{module}"), name)
        assert isinstance(command, click.Command)
        more = command.callback and command.callback.__doc__
        command.help = help_text(summary, more, *(f"{name} {example}" for example in examples))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, row[1]) for name, row in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Cloud Run and Knative Serving in small.

    Start a platform with `minirun up` in one terminal; use it from another. The API is found by MINIRUN_API
    (default http://127.0.0.1:8081) and MINIRUN_TOKEN.
    """


def main() -> None:
    """Runs the command line; the exit status is 0, 1 for a failure, 2 for a wrong use."""
    cli(prog_name="minirun")
