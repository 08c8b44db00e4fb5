"""The pages of a batch: one for the class, one for each learner. Each is one file without a script.

Every text that goes into a page passes `escape`, which is `html.escape`: names, notes and messages are the
learners' own. A page says the behaviour that a hidden check is about, and never what it was called with.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby
from statistics import mean, median

from minilab.results import NOT_ISOLATED, CheckResult, Result, TaskResult

STYLE = """
:root { color-scheme: light dark; --line: #8884; --good: #2a8a4a; --bad: #c8402f; --bar: #4a7fd0; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; line-height: 1.2; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.warning { border: 2px solid var(--bad); border-radius: .4rem; padding: .5rem .8rem; font-weight: 600; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.bar { display: block; height: .6rem; border-radius: .3rem; background: var(--line); min-width: 5rem; }
.bar i { display: block; height: 100%; border-radius: .3rem; background: var(--bar); }
ul.checks { list-style: none; padding: 0; } ul.checks li { padding: .3rem 0; overflow-wrap: anywhere; }
.passed b { color: var(--good); } .failed b { color: var(--bad); }
pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: .3rem 0 0 1.4rem; font-size: .85rem; }
small { opacity: .75; }
"""
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}</style>
<h1>{title}</h1>
{body}
</html>
"""
BANDS = 10
MOST_FAILED = 10


def learner_page(result: Result) -> str:
    """What a learner reads: points, and each check by the behaviour that it is about."""
    said = [f"<p><strong>{result.points:g} of {result.possible} points</strong> {bar(result.percent)}</p>"]
    said += warning([result])
    said += [f"<p>Note: {escape(note)}</p>" for note in result.notes]
    said += [_task(task, result.of(task)) for task in result.tasks]
    said.append(f"<p><small>Graded in {result.seconds:.1f} s with {escape(result.runtime)}.</small></p>")
    return page(f"{result.name}: lab {result.lab:02}, {result.title}", said)


def class_page(results: Sequence[Result]) -> str:
    """What an instructor reads: the distribution, what failed most, who has what, and the time it took."""
    first = results[0]
    points = [result.points for result in results]
    summary = (
        f"{len(results)} submissions; mean {mean(points):.1f}, median {median(points):.1f}, "
        f"from {min(points):g} to {max(points):g} of {first.possible} points."
    )
    said = [f"<p>{summary}</p>", *warning(results)]
    said += ["<h2>Distribution</h2>", _distribution(results)]
    said += ["<h2>What failed most</h2>", _most_failed(results)]
    said += ["<h2>Learners</h2>", _learners(results)]
    said += ["<h2>Time</h2>", f"<p>{_time(results)}</p>"]
    return page(f"Lab {first.lab:02}, {first.title}: the class", said)


def page(title: str, body: Sequence[str]) -> str:
    """A page with a title that is not escaped yet, and a body that is."""
    return PAGE.format(title=escape(title), style=STYLE, body="\n".join(body))


def warning(results: Sequence[Result]) -> list[str]:
    """That submissions ran without isolation, if one did."""
    loose = sum(not result.isolated for result in results)
    count = f" ({loose} of {len(results)} submissions)" if len(results) > 1 else ""
    return [f'<p class="warning">{NOT_ISOLATED}{count}</p>'] if loose else []


def bar(percent: float) -> str:
    """A bar that is `percent` full."""
    return f'<span class="bar"><i style="width:{percent:.0f}%"></i></span>'


def rows(head: Sequence[str], body: Sequence[Sequence[str]], numbers: int) -> str:
    """A table of escaped cells; the last `numbers` columns hold numbers."""

    def line(cells: Sequence[str], tag: str) -> str:
        first = len(cells) - numbers
        kinds = ["" if column < first else ' class="number"' for column in range(len(cells))]
        return "".join(f"<{tag}{kind}>{cell}</{tag}>" for kind, cell in zip(kinds, cells, strict=True))

    lines = [line(head, "th"), *(line(cells, "td") for cells in body)]
    return '<div class="wide"><table>' + "\n".join(f"<tr>{cells}</tr>" for cells in lines) + "</table></div>"


def _task(task: TaskResult, checks: Sequence[CheckResult]) -> str:
    head = f"<h2>{escape(task.id)} {escape(task.title)}: {task.points:g} of {task.possible}</h2>"
    return f'{head}<ul class="checks">{"".join(_checks(checks))}</ul>'


def _checks(checks: Sequence[CheckResult]) -> Iterator[str]:
    for hidden, group in groupby(sorted(checks, key=lambda check: check.hidden), lambda check: check.hidden):
        for check in group:
            kind, sign = ("passed", "✓ passed") if check.passed else ("failed", "✗ failed")
            what = f"{escape(check.behaviour)}{' <small>(hidden check)</small>' if hidden else ''}"
            message = f"<pre>{escape(check.message)}</pre>" if check.message else ""
            yield f'<li class="{kind}"><b>{sign}</b> {what}{message}</li>'


def _distribution(results: Sequence[Result]) -> str:
    bands = Counter(min(int(result.percent * BANDS / 100), BANDS - 1) for result in results)
    most = max(bands.values())
    body = [
        [
            f"{band * 100 // BANDS} to {(band + 1) * 100 // BANDS} %",
            bar(100 * bands[band] / most),
            str(bands[band]),
        ]
        for band in reversed(range(BANDS))
    ]
    return rows(["share of the points", "", "learners"], body, 1)


def _most_failed(results: Sequence[Result]) -> str:
    failed: Counter[tuple[str, str, bool]] = Counter()
    for result in results:  # learners, not checks: several checks may be about one behaviour
        failed.update({(each.task, each.behaviour, each.hidden) for each in result.checks if not each.passed})
    if not failed:
        return "<p>Nothing: every check passed for everyone.</p>"
    body = [
        [escape(task), escape(behaviour) + (" <small>(hidden)</small>" if hidden else ""), str(count)]
        for (task, behaviour, hidden), count in sorted(failed.items(), key=lambda item: (-item[1], item[0]))[
            :MOST_FAILED
        ]
    ]
    return rows(["task", "behaviour", "learners"], body, 1)


def _learners(results: Sequence[Result]) -> str:
    tasks = results[0].tasks
    body = [
        [
            f'<a href="learners/{escape(result.name)}.html">{escape(result.name)}</a>'
            + "".join(f"<br><small>{escape(note)}</small>" for note in result.notes),
            *(f"{task.points:g}" for task in result.tasks),
            f"{result.points:g}",
        ]
        for result in results
    ]
    return rows(["learner", *(escape(task.id) for task in tasks), "points"], body, len(tasks) + 1)


def _time(results: Sequence[Result]) -> str:
    seconds = [result.seconds for result in results]
    slowest = max(results, key=lambda result: result.seconds)
    containers = sum(result.container_seconds for result in results)
    return (
        f"{sum(seconds):.1f} s in all, {mean(seconds):.2f} s a submission, of which "
        f"{containers / len(results):.2f} s starting and ending containers; "
        f"the slowest was {escape(slowest.name)} with {slowest.seconds:.1f} s."
    )
