"""Replays of recorded autoscaler cases: what was given, what came, what was expected.

Each `replay_*` takes one case (one line of a vector file, as JSON gives it) and answers how many steps it
checked and one sentence for each step that differs. The numbers were recorded from Knative Serving;
`tests/data/vectors` tells how.
"""

from collections.abc import Iterator, Mapping
from typing import Any  # the lines are JSON of many shapes

from minirun.autoscaling.collector import RevisionMetrics, Stat
from minirun.autoscaling.decider import Decider, scale
from minirun.autoscaling.lifecycle import (
    ActiveCondition,
    ScaleInput,
    active_condition,
    desired_replicas,
    num_activators,
    sks_mode,
)
from minirun.autoscaling.settings import AutoscalerSettings
from minirun.autoscaling.spec import DeciderSpec, MetricSpec, decider_spec, metric_spec, scale_policy
from minirun.autoscaling.windows import LinearWindow, MaxWindow, WeightedWindow, smoothing_coefficient
from minirun.model.clock import MILLISECOND_NS, SECOND_NS

Case = Mapping[str, Any]
Replay = tuple[int, list[str]]

_SPEC_FIELDS = {  # a vector's name -> ours; times there are seconds
    "scalingMetric": "scaling_metric",
    "targetValue": "target_value",
    "totalValue": "total_value",
    "targetBurstCapacity": "target_burst_capacity",
    "activatorCapacity": "activator_capacity",
    "panicThreshold": "panic_threshold",
    "maxScaleUpRate": "max_scale_up_rate",
    "maxScaleDownRate": "max_scale_down_rate",
    "stableWindow": "stable_window_ns",
    "scaleDownDelay": "scale_down_delay_ns",
    "initialScale": "initial_scale",
    "activationScale": "activation_scale",
    "reachable": "reachable",
}


def _ns(seconds: float) -> int:
    return round(seconds * 1000) * MILLISECOND_NS


def _spec(recorded: Case) -> DeciderSpec:
    values: dict[str, Any] = {ours: recorded[theirs] for theirs, ours in _SPEC_FIELDS.items()}
    values |= {name: _ns(values[name]) for name in ("stable_window_ns", "scale_down_delay_ns")}
    return DeciderSpec(**values)


def _compare(case: Case, step: object, given: object, came: Case, expected: Case) -> Iterator[str]:
    """One sentence if any of the values that came is not the expected one of the same name."""
    wrong = [name for name, value in came.items() if value != expected.get(name)]
    if wrong:
        pairs = "; ".join(f"{name}: came {came[name]!r}, expected {expected.get(name)!r}" for name in wrong)
        yield f"{case.get('id', 'case')} step {step}, given {given}: {pairs}"


def replay_smoothing(case: Case) -> Replay:
    """The weighted windows' coefficients for 1, 2, 3, ... buckets."""
    differences: list[str] = []
    for size, expected in enumerate(case["coeff"], 1):
        came = {"coefficient": smoothing_coefficient(size)}
        differences += _compare(case, size, f"{size} buckets", came, {"coefficient": expected})
    return len(case["coeff"]), differences


def replay_windows(case: Case) -> Replay:
    """One window of any kind, operation by operation."""
    window_ns, granularity_ns, t0 = _ns(case["window"]), _ns(case["granularity"]), _ns(case["t0"])
    differences: list[str] = []
    largest = MaxWindow(window_ns, granularity_ns)
    window = (WeightedWindow if case["kind"] == "weighted" else LinearWindow)(window_ns, granularity_ns)
    for step, (op, t, *values) in enumerate(case["ops"]):
        now_ns = t0 + _ns(t)
        came: float | None = None
        if case["kind"] == "max":
            came = largest.record(now_ns, values[0])
        elif op == "r":
            window.record(now_ns, values[0])
        elif op == "a":
            came = window.average(now_ns)
        elif op == "e":
            came = window.is_empty(now_ns)
        else:
            window.resize(now_ns, _ns(values[0]))
        if came is not None:
            differences += _compare(case, step, [op, t, *values[:-1]], {op: came}, {op: values[-1]})
    return len(case["ops"]), differences


def replay_scale(case: Case) -> Replay:
    """One decider; where the case records raw statistics (pipeline), they go through a collector first."""
    t0, meta = _ns(case["t0"]), case.get("meta", {})
    decider = Decider(_spec(case["spec"]), t0, None if case.get("initErr") else case["initReady"])
    metrics = None
    if any("rec" in step for step in case["steps"]):
        metrics = RevisionMetrics(
            MetricSpec(
                scaling_metric=case["spec"]["scalingMetric"],
                stable_window_ns=_ns(meta["stableWindow"]),
                panic_window_ns=_ns(meta["panicWindow"]),
                weighted=meta["algorithm"].startswith("weighted"),
                scraped=bool(meta["scrapeTarget"]),
            )
        )
    differences: list[str] = []
    for number, step in enumerate(case["steps"]):
        if "spec" in step:
            decider.spec = _spec(step["spec"])
        came = _decide(decider, metrics, t0, step)
        given = {key: step[key] for key in ("t", "ready", "stable", "panic", "err", "rec") if key in step}
        differences += _compare(case, number, given, came, step)
    return len(case["steps"]), differences


def _decide(decider: Decider, metrics: RevisionMetrics | None, t0: int, step: Case) -> dict[str, object]:
    now_ns, error = t0 + _ns(step["t"]), step.get("err")
    came: dict[str, object] = {}
    ready = None if error == "pods" else 0 if error == "podsnotfound" else step["ready"]
    measured = None if error in ("nodata", "notcollecting", "metric") else (step["stable"], step["panic"])
    if metrics is not None:
        for t, *values in step.get("rec", ()):
            metrics.record(t0 + _ns(t), Stat(*values))
        measured = metrics.stable_and_panic(now_ns)
        came["err"] = "nodata" if measured is None else error if error != "nodata" else None
        if measured is not None:
            came["stable"], came["panic"] = measured
    result = scale(decider, now_ns, ready, measured)
    came |= {"desired": result.desired, "excessBurst": result.excess_burst_capacity, "valid": result.valid}
    panicking = int(decider.panic_time_ns is not None)
    return came | {"pm": panicking, "mp": decider.max_panic_pods}


def replay_kpa(case: Case) -> Replay:
    """A decider's spec, one scaling of a PodAutoscaler, or its life reconcile by reconcile."""
    return {"decider": _replay_spec, "scale": _replay_scaler, "lifecycle": _replay_lifecycle}[case["kind"]](
        case
    )


def _replay_spec(case: Case) -> Replay:
    given = case["in"]
    settings = AutoscalerSettings.from_config_map(given["config"] or {})
    annotations = given["annotations"] or {}
    spec = decider_spec(settings, annotations, given["containerConcurrency"], given["reachability"])
    metric = metric_spec(settings, annotations)
    came: dict[str, object] = {
        theirs: getattr(spec, ours) / SECOND_NS if ours.endswith("_ns") else getattr(spec, ours)
        for theirs, ours in _SPEC_FIELDS.items()
    }
    came["panicWindow"] = metric.panic_window_ns / SECOND_NS
    came["metricStableWindow"] = metric.stable_window_ns / SECOND_NS
    came["numActivators"] = num_activators(spec, given["ready"])
    return 1, list(_compare(case, 0, given, came, case["out"]))


def _replay_scaler(case: Case) -> Replay:
    given = case["in"]
    settings = AutoscalerSettings.from_config_map(given["config"] or {})
    annotations, reachability = given["annotations"] or {}, given["reachability"]
    spec = decider_spec(settings, annotations, given["containerConcurrency"], reachability)
    policy = scale_policy(settings, annotations, reachability, _ns(given["progressDeadline"]))
    initialized, ready = given["scaleTargetInitialized"], given["ready"]
    outcome = desired_replicas(
        policy,
        ScaleInput(
            desired=given["desired"],
            replicas=given["replicas"],
            active_status=given["active"],
            active_age_ns=_ns(given["inStateFor"]),
            initialized=initialized,
            sks_mode=given["sksMode"],
            proxy_for_ns=_ns(given["proxyFor"] or 0),
            probe_ok=given["probe"] == "ok",
        ),
    )
    reason = {"True": "", "False": "NoTraffic", "Unknown": "Queued"}[given["active"]]
    before = ActiveCondition(given["active"], reason)
    active, latched = active_condition(policy, before, initialized, outcome.want, ready, 0)
    later = outcome.requeue_after_ns
    came = {
        "scale": outcome.want,
        "patched": outcome.replicas,
        "enqueueAfter": [] if later is None else [later / SECOND_NS],
        "probed": outcome.probed,
        "asyncProbe": outcome.probe_again,
        "numActivators": num_activators(spec, ready),
        "newActive": active.status,
        "newReason": active.reason,
        "newInitialized": latched,
    }
    return 1, list(_compare(case, 0, given, came, case["out"]))


def _replay_lifecycle(case: Case) -> Replay:
    """Row by row: only the PodAutoscaler's own state and the replicas are carried to the next row."""
    settings = AutoscalerSettings.from_config_map(case["config"] or {})
    annotations, reachability = case["annotations"] or {}, case["reachability"]
    spec = decider_spec(settings, annotations, case["containerConcurrency"], reachability)
    policy = scale_policy(settings, annotations, reachability, _ns(case["progressDeadline"]))
    active, initialized, wanted, replicas = ActiveCondition(), False, -1, policy.initial_scale
    differences: list[str] = []
    for number, values in enumerate(case["steps"]):
        row = dict(zip(case["cols"], values, strict=True))
        now_ns, ready, want, later, probed = _ns(row["t"]), row["ready"], -1, None, False
        if row["sksMode"]:
            seen = ScaleInput(
                desired=row["desired"],
                replicas=replicas,
                active_status=active.status,
                active_age_ns=now_ns - active.since_ns,
                initialized=initialized,
                sks_mode=row["sksMode"],
                proxy_for_ns=_ns(row["proxyFor"] or 0),
                probe_ok=ready == 0 or row["sksMode"] == "Proxy",
            )
            outcome = desired_replicas(policy, seen)
            want, later, probed = outcome.want, outcome.requeue_after_ns, outcome.probed
            replicas = replicas if outcome.replicas is None else outcome.replicas
        since_ns = now_ns if number == 0 else active.since_ns
        active = ActiveCondition(active.status, active.reason, since_ns)
        active, initialized = active_condition(
            policy, active, initialized, want, ready, now_ns, service_known=bool(row["sksMode"])
        )
        wanted = wanted if want < 0 <= wanted else want
        came = {
            "want": wanted,
            "mode": sks_mode(want, row["ebc"]),
            "numActivators": num_activators(spec, ready) if row["sksMode"] else 2,
            "replicas": replicas,
            "active": active.status,
            "reason": active.reason,
            "initialized": int(initialized),
            "enqueueAfter": None if later is None else later / SECOND_NS,
            "probed": int(probed),
        }
        given = {key: row[key] for key in ("t", "ready", "desired", "ebc", "sksMode", "proxyFor")}
        differences += _compare(case, number, given, came, row)
    return len(case["steps"]), differences
