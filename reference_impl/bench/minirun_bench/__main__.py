"""`minirun bench`: runs the benchmarks and prints tables and verdicts, or JSON."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict

import msgspec
from rich.console import Console
from rich.table import Table

from minirun_bench import api, knative, parts, path, placement
from minirun_bench.harness import Result, Scale, cores

BENCHMARKS: dict[str, Callable[[Scale], Awaitable[Result]]] = {
    "path": path.throughput,
    "coldstart": path.cold_start,
    "dataplane": knative.dataplane_probe,
    "loadtest": knative.load_test,
    "rollout": knative.rollout_probe,
    "reconcile": knative.reconciliation_delay,
    "api": api.reading,
    "ready": api.readiness,
    "decider": parts.decider,
    "store": parts.store,
    "memory": path.memory,
    "simulate": parts.simulation,
    "placement": placement.placement,
}


def print_result(console: Console, result: Result) -> None:
    """The table, then the notes, then a line for each aim."""
    table = Table(title=result.title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in result.rows[0]:
        table.add_column(column.replace("_", " "), justify="right" if column != "what" else "left")
    for row in result.rows:
        table.add_row(*row.values())
    console.print(table)
    for note in result.notes:
        console.print(f"  {note}")
    for verdict in result.verdicts:
        console.print(f"  {'met   ' if verdict.met else 'MISSED'}  {verdict.aim}: {verdict.measured}")
    console.print()


def main(arguments: list[str] | None = None) -> int:
    """Runs what the command line names; 0 when all ran, whatever the verdicts say."""
    parser = argparse.ArgumentParser("minirun bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; default: all")
    parser.add_argument("--quick", dest="scale", action="store_const", const="quick", default="default")
    parser.add_argument("--full", dest="scale", action="store_const", const="full")
    parser.add_argument("--runtime", choices=["process", "docker"], default="process", help="for coldstart")
    parser.add_argument("--json", action="store_true", help="machine-readable")
    parser.add_argument("--list", action="store_true", help="only name the benchmarks")
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(f"{name:10} {run.__doc__}" for name, run in BENCHMARKS.items()))
        return 0
    if unknown := [name for name in options.names if name not in BENCHMARKS]:
        print(f"Error: {unknown[0]!r} is no benchmark; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that platforms are ended too
    try:
        return _run_all(
            options.names or list(BENCHMARKS), Scale(options.scale, options.runtime), options.json
        )
    finally:
        signal.signal(signal.SIGTERM, before)


def _run_all(names: list[str], scale: Scale, as_json: bool) -> int:
    """Runs and prints them; one that breaks is told and does not keep the others from running."""
    console = Console(width=max(Console().width, 120), stderr=as_json, highlight=False)
    console.print(f"minirun bench, {scale.name}: {cores()}\n")
    results = []
    for name in names:
        try:
            result = asyncio.run(_run(BENCHMARKS[name], scale))
        except Exception:
            console.print_exception()
            continue
        results.append(result)
        print_result(console, result)
    if as_json:
        print(msgspec.json.encode([asdict(result) for result in results]).decode())
    return 0 if len(results) == len(names) else 1


async def _run(benchmark: Callable[[Scale], Awaitable[Result]], scale: Scale) -> Result:
    return await benchmark(scale)


if __name__ == "__main__":
    sys.exit(main())
