"""The command `lab`: one table of commands, each imported when it is used, so that `--help` is fast."""

import os
from importlib import import_module

import click

COMMANDS: dict[str, tuple[str, str]] = {  # name -> its module, its line in the list
    "doctor": ("running", "Check this machine, and say what mends it."),
    "list": ("learning", "The labs, and how far you are."),
    "start": ("learning", "Begin a lab: makes my/lab05, never overwrites."),
    "check": ("learning", "Run the public checks of a lab or a task."),
    "watch": ("learning", "Check again each time that you save."),
    "hint": ("learning", "The next hint for a task."),
    "run": ("running", "Run the platform with your part in it."),
    "notebook": ("running", "Open a lab's notebook in JupyterLab."),
    "reset": ("learning", "Begin a lab anew; keeps a backup."),
    "hand-in": ("learning", "Copy your files of a lab to where they are collected."),
    "solution": ("learning", "The reference's answer, once yours has passed."),
    "grade": ("grading", "Grade a folder of submissions, in containers."),
    "export": ("grading", "Write a batch's outputs again, from its results."),
    "course": ("grading", "Make an nbgrader course of the labs."),
    "gates": ("authoring", "Check that every lab keeps what it promises."),
    "build": ("authoring", "Make labs/ and SOLUTION.md from their sources."),
}


class LazyGroup(click.Group):
    """A group that imports a command when it is called, and lists all of them without."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = import_module(f"minilab.commands.{COMMANDS[name][0]}")
        command = getattr(module, f"{name.replace('-', '_')}_command")
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> object:
        from minilab.labs import LabError

        try:
            return super().invoke(ctx)
        except LabError as error:
            raise click.ClickException(str(error)) from None


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """The workshop: build minirun yourself, lab by lab, your part running in the real platform."""


def main() -> None:
    """Runs the command line; the exit status is 0, 1 for a failure, 2 for a wrong use."""
    os.environ.pop("MINIRUN_OVERLAY", None)  # what judges is the reference; only the driver gets the parts
    cli(prog_name="lab")
