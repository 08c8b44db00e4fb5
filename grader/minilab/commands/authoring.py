"""What authors type."""

import click

from minilab import building, labs


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; fail if a generated file is not fresh.")
def build_command(check: bool) -> None:
    """Make labs/ and each SOLUTION.md from solutions/ and the reference."""
    everything = labs.all_labs()
    if check:
        building.check_fresh(everything)
        return
    for path in building.build(everything):
        click.echo(
            f"made {path.relative_to(labs.ROOT)}"
            if path.exists()
            else f"removed {path.relative_to(labs.ROOT)}"
        )


@click.command()
@click.argument("asked", metavar="[LAB]", required=False)
@click.option("--slow", is_flag=True, help="Run the chapter's commands and the notebook instead.")
def gates_command(asked: str | None, slow: bool) -> None:
    """Check that every lab, or one, keeps what it promises: fresh, fair, tested and complete."""
    from minilab import gates, rehearsal

    wanted = [labs.find(asked).lab] if asked else labs.all_labs()
    count = 0
    for lab in wanted:
        for fault in gates.faults(lab, rehearsal.SLOW if slow else gates.FAST):
            count += 1
            click.echo(f"{lab.id}: {fault}")
    if count:
        raise click.ClickException(f"{count} faults")
    click.echo(f"{len(wanted)} labs keep what they promise")
