"""From a decision to replicas: bounds, the steps to zero, the Active condition; and whole lives."""

import gzip
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from minirun.autoscaling.collector import Stat
from minirun.autoscaling.lifecycle import (
    MESSAGES,
    ActiveCondition,
    ScaleInput,
    ScaleOutcome,
    active_condition,
    desired_replicas,
    num_activators,
    scale_bounds,
    sks_mode,
)
from minirun.autoscaling.multiscaler import MultiScaler
from minirun.autoscaling.settings import AutoscalerSettings
from minirun.autoscaling.spec import DeciderSpec, ScalePolicy, decider_spec, metric_spec, scale_policy
from minirun.model.clock import SECOND_NS as S

VECTORS = Path(__file__).parents[1] / "data" / "vectors"
POLICY = ScalePolicy()
IDLE = ScaleInput(
    desired=0,
    replicas=1,
    active_status="False",
    active_age_ns=0,
    initialized=True,
    sks_mode="Proxy",
    proxy_for_ns=0,
    probe_ok=True,
)


@pytest.mark.parametrize(
    ("policy", "initialized", "bounds"),
    [
        (ScalePolicy(min_scale=2, max_scale=5), True, (2, 5)),
        (ScalePolicy(min_scale=2, max_scale=5, initial_scale=9), False, (9, 5)),
        (ScalePolicy(min_scale=2, max_scale=5, initial_scale=9), True, (2, 5)),
        (ScalePolicy(max_scale=5, initial_scale=9, reachable=False), False, (0, 5)),
        (ScalePolicy(initial_scale=1), False, (0, 0)),
    ],
)
def test_bounds(policy: ScalePolicy, initialized: bool, bounds: tuple[int, int]) -> None:
    assert scale_bounds(policy, initialized) == bounds


@pytest.mark.parametrize(
    ("desired", "replicas", "want", "patched"),
    [(1, 3, 2, 2), (3, 3, 3, None), (9, 3, 5, 5), (0, 2, 2, None), (-1, 2, -1, None)],
)
def test_the_desire_is_kept_within_the_bounds_and_applied_if_it_differs(
    desired: int, replicas: int, want: int, patched: int | None
) -> None:
    seen = replace(IDLE, desired=desired, replicas=replicas, active_status="True")
    assert desired_replicas(ScalePolicy(min_scale=2, max_scale=5), seen) == ScaleOutcome(want, patched)


def test_an_initial_scale_above_the_maximum_holds_until_it_was_reached() -> None:
    policy, seen = ScalePolicy(max_scale=5, initial_scale=9), replace(IDLE, desired=3, initialized=False)
    assert desired_replicas(policy, seen).want == 9
    assert desired_replicas(policy, replace(seen, desired=12)).want == 5


def test_without_a_decision_nothing_is_scaled_unless_the_revision_is_activating() -> None:
    assert desired_replicas(POLICY, replace(IDLE, desired=-1)) == ScaleOutcome(-1)
    activating = replace(IDLE, desired=-1, active_status="Unknown")
    assert desired_replicas(POLICY, activating) == ScaleOutcome(-1, requeue_after_ns=630 * S)
    assert desired_replicas(ScalePolicy(min_scale=2), activating) == ScaleOutcome(2, 2)


def test_where_scale_to_zero_is_off_one_pod_stays() -> None:
    policy = ScalePolicy(enable_scale_to_zero=False)
    assert desired_replicas(policy, replace(IDLE, replicas=3)) == ScaleOutcome(1, 1)


@pytest.mark.parametrize(("age_ns", "given_up"), [(630 * S, False), (630 * S + 1, True)])
def test_an_activation_is_given_up_after_the_deadline_and_thirty_seconds(age_ns: int, given_up: bool) -> None:
    outcome = desired_replicas(POLICY, replace(IDLE, active_status="Unknown", active_age_ns=age_ns))
    assert outcome == (ScaleOutcome(0, 0) if given_up else ScaleOutcome(-1, requeue_after_ns=630 * S))


def test_the_activation_timeout_follows_the_revisions_own_progress_deadline() -> None:
    annotations = {"serving.knative.dev/progress-deadline": "10s"}
    policy = scale_policy(AutoscalerSettings(), annotations, progress_deadline_ns=600 * S)
    seen = replace(IDLE, active_status="Unknown", active_age_ns=41 * S)
    assert desired_replicas(policy, seen) == ScaleOutcome(0, 0)


def test_an_active_revision_shrinks_to_one_for_a_stable_window_and_then_turns_inactive() -> None:
    seen = replace(IDLE, active_status="True", active_age_ns=59 * S, replicas=3)
    assert desired_replicas(POLICY, seen) == ScaleOutcome(1, 1, 1 * S)
    seen = replace(seen, active_age_ns=60 * S)
    assert desired_replicas(POLICY, seen) == ScaleOutcome(0, requeue_after_ns=3 * S)
    assert desired_replicas(POLICY, replace(seen, sks_mode="Serve")) == ScaleOutcome(0)


def test_the_last_pod_waits_until_the_activator_answers() -> None:
    seen = replace(IDLE, active_age_ns=99 * S, probe_ok=False)
    assert desired_replicas(POLICY, seen) == ScaleOutcome(0, probed=True, probe_again=True)
    assert desired_replicas(ScalePolicy(always_buffered=True), seen) == ScaleOutcome(0, 0)


@pytest.mark.parametrize(
    ("age", "proxy_for", "retention", "reachable", "outcome"),
    [
        (30, 0, 0, True, ScaleOutcome(0, 0, probed=True)),
        (10, 10, 0, True, ScaleOutcome(0, requeue_after_ns=20 * S, probed=True)),
        (10, 30, 0, True, ScaleOutcome(0, 0, probed=True)),
        (40, 40, 45, True, ScaleOutcome(0, requeue_after_ns=5 * S, probed=True)),
        (45, 45, 45, True, ScaleOutcome(0, 0, probed=True)),
        (40, 40, 45, False, ScaleOutcome(0, 0, probed=True)),
        (20, 5, 10, True, ScaleOutcome(0, requeue_after_ns=25 * S, probed=True)),
    ],
)
def test_the_last_pod_goes_after_grace_and_retention(
    age: int, proxy_for: int, retention: int, reachable: bool, outcome: ScaleOutcome
) -> None:
    policy = ScalePolicy(retention_ns=retention * S, reachable=reachable)
    seen = replace(IDLE, active_age_ns=age * S, proxy_for_ns=proxy_for * S)
    assert desired_replicas(policy, seen) == outcome


def test_the_activator_is_in_the_path_unless_pods_can_take_a_burst() -> None:
    modes = [sks_mode(want, excess) for want, excess in [(1, 0), (1, -1), (0, 5), (-1, 5)]]
    assert modes == ["Serve", "Proxy", "Proxy", "Proxy"]


@pytest.mark.parametrize(
    ("capacity", "ready", "activators"),
    [(0.0, 50, 2), (200.0, 1, 3), (-1.0, 5, 5), (-1.0, 1, 2), (200.0, 0, 2)],
)
def test_activators_are_as_many_as_the_load_may_need(capacity: float, ready: int, activators: int) -> None:
    assert num_activators(DeciderSpec(target_burst_capacity=capacity), ready) == activators


ONE, ZERO = ScalePolicy(), ScalePolicy(initial_scale=0)


@pytest.mark.parametrize(
    ("policy", "status", "want", "ready", "after"),
    [
        (ONE, "Unknown", 0, 0, "False/TimedOut"),
        (ONE, "True", 0, 1, "False/NoTraffic"),
        (ONE, "False", 0, 0, "False/NoTraffic"),
        (ZERO, "Unknown", -1, 0, "False/NoTraffic"),
        (ONE, "Unknown", -1, 0, "Unknown/Queued"),
        (ONE, "True", 1, 0, "Unknown/Queued"),
        (ONE, "False", 1, 0, "Unknown/Queued"),
        (ONE, "False", -1, 0, "False/NoTraffic"),
        (ONE, "Unknown", 1, 1, "True/"),
        (ONE, "Unknown", -1, 1, "True/"),
        (ONE, "False", 1, 1, "True/"),
        (ONE, "False", -1, 1, "False/TimedOut"),
        (ScalePolicy(min_scale=3), "True", 3, 2, "Unknown/Queued"),
        (ScalePolicy(initial_scale=3), "Unknown", 3, 2, "Unknown/Queued"),
    ],
)
def test_the_active_condition(policy: ScalePolicy, status: str, want: int, ready: int, after: str) -> None:
    reason = {"Unknown": "Queued", "True": "", "False": "TimedOut"}[status]
    active, _ = active_condition(policy, ActiveCondition(status, reason, 5), False, want, ready, 9)
    assert f"{active.status}/{active.reason}" == after
    assert active.since_ns == (5 if after == f"{status}/{reason}" else 9)
    assert active.reason in MESSAGES


def test_a_change_of_the_reason_alone_restarts_the_conditions_clock() -> None:
    active, _ = active_condition(POLICY, ActiveCondition("False", "TimedOut", 5), True, 0, 0, 9)
    assert active == ActiveCondition("False", "NoTraffic", 9)


def test_initialized_is_reached_once_and_kept() -> None:
    policy = ScalePolicy(initial_scale=3)
    results = [
        active_condition(policy, ActiveCondition(), initialized, 3, ready, 0)[1]
        for initialized, ready in [(False, 2), (False, 3), (True, 0)]
    ]
    assert results == [False, True, True]
    assert active_condition(ZERO, ActiveCondition(), False, -1, 0, 0, service_known=False)[1] is False
    assert active_condition(ZERO, ActiveCondition(), False, -1, 0, 0)[1] is True


@dataclass
class Life:
    """One revision in a cluster that is only its pods, its mode and its load; the rest is minirun's code.

    Rows are reconciles at given times; in between, deciders tick and pods are scraped on their own beat.
    """

    config: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    container_concurrency: int = 0
    reachability: str = ""
    progress_deadline_seconds: int = 600
    pod_startup: float = 1

    def __post_init__(self) -> None:
        settings = AutoscalerSettings.from_config_map(self.config)
        self.spec = decider_spec(settings, self.annotations, self.container_concurrency, self.reachability)
        self.metric = metric_spec(settings, self.annotations)
        deadline_ns = self.progress_deadline_seconds * S
        self.policy = scale_policy(settings, self.annotations, self.reachability, deadline_ns)
        self.replicas = self.policy.initial_scale
        self.scaler = MultiScaler(lambda key: self.ready, lambda key: None)
        self.active, self.initialized, self.wanted = ActiveCondition(), False, -1
        self.pods: list[int] = []  # the row in which each was made
        self.row, self.ready, self.load, self.reported = -1, 0, 0.0, 0.0
        self.mode = ""
        self.proxied_since_ns: int | None = None
        self.next_scrape_ns = 0

    def run_until(self, now_ns: int) -> None:
        """Scrapes and ticks, in the order of their times, up to now."""
        while self.next_scrape_ns and min(self.next_scrape_ns, self.scaler.next_due_ns or now_ns) <= now_ns:
            due_ns = self.scaler.next_due_ns
            if due_ns is not None and due_ns <= self.next_scrape_ns:
                self.scaler.tick(due_ns)
                continue
            if self.metric.scraped and self.ready:
                proxied = self.load if self.proxied_since_ns is not None else 0.0
                self.scaler.record("ns/r", self.next_scrape_ns, Stat(self.load, proxied, self.load, proxied))
            self.next_scrape_ns += S

    def reconcile(self, now_ns: int, load: float) -> dict[str, object]:
        self.run_until(now_ns)
        self.row, self.load = self.row + 1, load
        self.pods = (self.pods + [self.row] * self.replicas)[: self.replicas]
        self.ready = sum(self.row - made >= self.pod_startup for made in self.pods)
        seen: dict[str, object] = {"ready": self.ready, "sksMode": self.mode}
        if self.mode:
            proxied = self.ready == 0 or self.mode == "Proxy"
            since_ns = now_ns if self.proxied_since_ns is None else self.proxied_since_ns
            self.proxied_since_ns = since_ns if proxied else None
            if proxied and (load > 0 or self.reported > 0):
                self.scaler.record_activator("ns/r", now_ns, Stat(load, 0.0, load, 0.0))
                self.reported = load
        return seen | self._reconcile_pod_autoscaler(now_ns)

    def _reconcile_pod_autoscaler(self, now_ns: int) -> dict[str, object]:
        desired, excess, outcome, made = -1, 0, ScaleOutcome(-1), bool(self.mode)
        proxy_for_ns = None if self.proxied_since_ns is None else now_ns - self.proxied_since_ns
        if made:
            if not self.next_scrape_ns:
                self.next_scrape_ns = now_ns + S + S // 4
            desired, excess = self.scaler.apply("ns/r", self.spec, self.metric, now_ns)
            seen = ScaleInput(
                desired=desired,
                replicas=self.replicas,
                active_status=self.active.status,
                active_age_ns=now_ns - self.active.since_ns,
                initialized=self.initialized,
                sks_mode=self.mode,
                proxy_for_ns=proxy_for_ns or 0,
                probe_ok=proxy_for_ns is not None,
            )
            outcome = desired_replicas(self.policy, seen)
        else:
            self.active = replace(self.active, since_ns=now_ns)
        if outcome.replicas is not None:
            self.replicas = outcome.replicas
        self.mode = sks_mode(outcome.want, excess)
        self.active, self.initialized = active_condition(
            self.policy, self.active, self.initialized, outcome.want, self.ready, now_ns, service_known=made
        )
        self.wanted = self.wanted if outcome.want < 0 <= self.wanted else outcome.want
        later_ns = outcome.requeue_after_ns
        return {
            "desired": desired,
            "ebc": excess,
            "proxyFor": None if proxy_for_ns is None else proxy_for_ns / S,
            "want": self.wanted,
            "mode": self.mode,
            "numActivators": num_activators(self.spec, self.ready) if made else 2,
            "replicas": self.replicas,
            "active": self.active.status,
            "reason": self.active.reason,
            "initialized": int(self.initialized),
            "enqueueAfter": None if later_ns is None else later_ns / S,
            "probed": int(outcome.probed),
        }


def recorded_lives() -> list[dict[str, Any]]:
    with gzip.open(VECTORS / "kpa.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [case for case in map(json.loads, lines) if case["kind"] == "lifecycle"]


@pytest.mark.parametrize("case", recorded_lives(), ids=lambda case: case["id"])
def test_a_whole_life_runs_as_it_was_recorded(case: dict[str, Any]) -> None:
    life = Life(
        case["config"],
        case["annotations"],
        case["containerConcurrency"],
        case["reachability"],
        case["progressDeadline"],
        float("inf") if case.get("podsBroken") else case["podStartup"],
    )
    for values in case["steps"]:
        row = dict(zip(case["cols"], values, strict=True))
        came = life.reconcile(round(row["t"] * 1000) * S // 1000, row["load"])
        assert {"t": row["t"], "load": row["load"], **came} == row


def live(life: Life, loads: list[float]) -> list[dict[str, object]]:
    times_ns = [S // 2, 3 * S // 2, *(second * S for second in range(2, len(loads)))]
    return [life.reconcile(now_ns, load) for now_ns, load in zip(times_ns, loads, strict=True)]


A = "autoscaling.knative.dev/"


def test_with_an_initial_scale_of_zero_a_revision_starts_inactive_and_wakes_on_traffic() -> None:
    life = Life({"allow-zero-initial-scale": "true"}, {A + "initial-scale": "0"})
    rows = live(life, [0.0] * 20 + [1.0] * 10)
    assert [(row["replicas"], row["active"], row["reason"]) for row in rows[:20]] == [
        (0, "False", "NoTraffic")
    ] * 20
    assert [rows[0]["initialized"], rows[1]["initialized"]] == [0, 1]
    assert (rows[-1]["replicas"], rows[-1]["active"]) == (1, "True")


def test_a_revision_whose_pods_never_get_ready_is_given_up() -> None:
    life = Life(progress_deadline_seconds=20, pod_startup=float("inf"))
    rows = live(life, [1.0] * 40 + [0.0] * 200)
    assert {row["active"] for row in rows[:40]} == {"Unknown"}
    assert (rows[-1]["replicas"], rows[-1]["active"]) == (0, "False")
    assert "TimedOut" in {row["reason"] for row in rows}


def test_where_scale_to_zero_is_off_a_life_ends_at_one_pod() -> None:
    rows = live(Life({"enable-scale-to-zero": "false"}), [300.0] * 30 + [0.0] * 200)
    assert max(int(str(row["replicas"])) for row in rows) > 1
    assert (rows[-1]["replicas"], rows[-1]["active"]) == (1, "True")


def test_an_unreachable_revision_drops_its_minimum() -> None:
    annotations = {A + "min-scale": "3"}
    assert live(Life(annotations=annotations), [0.0] * 150)[-1]["replicas"] == 3
    assert live(Life(annotations=annotations, reachability="Unreachable"), [0.0] * 150)[-1]["replicas"] == 0


def test_a_burst_brings_the_activation_scale_at_once() -> None:
    life = Life(annotations={A + "activation-scale": "5"}, container_concurrency=10)
    rows = live(life, [0.0] * 150 + [0.5] * 5)
    assert (rows[149]["replicas"], rows[150]["replicas"]) == (0, 5)
