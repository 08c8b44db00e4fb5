"""Feeds the autoscaler: once a second it reads what activator and instances report, and it keeps its beat.

One timer serves all revisions; one that has no instance and no request is not even looked at. The first
request of a silent revision goes past the timer: it reaches the decider within the same turn of the loop.
Counterpart: the activator's reporter, the scraper and the ticker of pkg/autoscaler in knative/serving.
"""

import asyncio

from minirun.activation.reporter import ActivatorStat
from minirun.autoscaling.collector import Stat, scrape
from minirun.concurrency.stats import RequestReport
from minirun.control.context import Context, log
from minirun.control.endpoints import Entry
from minirun.model.clock import SECOND_NS


def poke(ctx: Context, entry: Entry, stat: ActivatorStat) -> None:
    """Tells the autoscaler what the activator has of a revision; load on one at zero makes it decide now."""
    sample = Stat(stat.average_concurrency, request_count=stat.request_count)
    ctx.multiscaler.record_activator(entry.key, ctx.clock.unix_ns(), sample)


def wake(ctx: Context, entry: Entry, stat: ActivatorStat) -> None:
    """Tells the autoscaler of the first request; after a restart at zero it need not wait for the beat."""
    poke(ctx, entry, stat)
    if not entry.ready:
        ctx.multiscaler.decide_first(entry.key, ctx.clock.unix_ns())


def measure(ctx: Context, entry: Entry) -> bool:
    """Reads one revision's reports of the last second; returns whether there may be more to come."""
    now_ns = ctx.clock.monotonic_ns()
    stat = entry.path.activator_report(now_ns)
    if stat is not None:
        poke(ctx, entry, stat)
    if not entry.ready:
        return stat is not None
    if entry.metric.scraped:
        reports = entry.path.instance_reports(now_ns)
        stats = [stat_of(each.report) for each in reports]
        if len(stats) > 1:  # one instance is its own sample
            ages_ns = [now_ns - each.start_ns for each in reports]
            total = scrape(stats, ages_ns, entry.metric.stable_window_ns, ctx.rng)
        else:
            total = stats[0] if stats else None
        if total is not None:
            ctx.multiscaler.record(entry.key, ctx.clock.unix_ns(), total)
    return True


def stat_of(report: RequestReport) -> Stat:
    """A queue-proxy's report of one second as the collector takes it."""
    return Stat(
        report.average_concurrency,
        report.average_proxied_concurrency,
        report.request_count,
        report.proxied_request_count,
    )


class Meter:
    """The timer. Seconds are read at their half, so that no jitter puts two into one bucket of a window."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._read_ns = self._next_half_ns()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Starts to beat on the running loop."""
        due_ns = self._ctx.multiscaler.next_due_ns
        wake_ns = self._read_ns if due_ns is None else min(self._read_ns, due_ns)
        seconds = max(0, wake_ns - self._ctx.clock.unix_ns()) / SECOND_NS
        self._timer = asyncio.get_running_loop().call_later(seconds, self._beat)

    def stop(self) -> None:
        """Stops beating."""
        if self._timer is not None:
            self._timer.cancel()

    def _beat(self) -> None:
        try:
            self._read_and_decide(self._ctx.clock.unix_ns())
        except Exception:  # a beat that fails must not be the last one
            log.exception("the autoscaler failed, and is tried again at its next beat")
        self.start()

    def _read_and_decide(self, now_ns: int) -> None:
        ctx = self._ctx
        if now_ns >= self._read_ns:
            self._read_ns = self._next_half_ns()
            for entry in list(ctx.paths.active.values()):
                if not measure(ctx, entry):
                    ctx.paths.active.pop(entry.key, None)
        ctx.multiscaler.tick(now_ns)

    def _next_half_ns(self) -> int:
        return (self._ctx.clock.unix_ns() // SECOND_NS + 1) * SECOND_NS + SECOND_NS // 2
