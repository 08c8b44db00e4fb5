"""Replays recorded cases of Knative's autoscaler; see `minirun.replay`."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any  # a case is one line of a vector file: parsed JSON of many shapes

from minirun.autoscaling.collector import RevisionMetrics, Stat
from minirun.autoscaling.decider import Decider, scale
from minirun.autoscaling.lifecycle import (
    MIN_ACTIVATORS,
    PROXY,
    ActiveCondition,
    ScaleInput,
    ScaleOutcome,
    active_condition,
    desired_replicas,
    num_activators,
    sks_mode,
)
from minirun.autoscaling.settings import AutoscalerSettings
from minirun.autoscaling.spec import (
    DeciderSpec,
    MetricSpec,
    ScalePolicy,
    decider_spec,
    metric_spec,
    scale_policy,
)
from minirun.autoscaling.windows import LinearWindow, MaxWindow, WeightedWindow, smoothing_coefficient
from minirun.model.clock import MILLISECOND_NS, SECOND_NS

Case = Mapping[str, Any]
Steps = Iterator[tuple[object, Case, Case]]  # given, came, expected


def _camel(name: str) -> str:
    first, *words = name.removesuffix("_ns").split("_")
    return first + "".join(map(str.title, words))


_SPEC_FIELDS = {_camel(each.name): each.name for each in fields(DeciderSpec)}  # a vector's name -> ours


def to_ns(seconds: float) -> int:
    """Recorded seconds, which are whole milliseconds, in nanoseconds."""
    return round(seconds * 1000) * MILLISECOND_NS


def recorded_spec(recorded: Case) -> DeciderSpec:
    """A decider's spec as the vectors write it; what they leave out has its default."""
    given = ((ours, recorded[theirs]) for theirs, ours in _SPEC_FIELDS.items() if theirs in recorded)
    values: dict[str, Any] = dict(given)
    values |= {name: to_ns(value) for name, value in values.items() if name.endswith("_ns")}
    return DeciderSpec(**values)


def replay_smoothing(case: Case) -> Steps:
    """The weighted windows' coefficients for 1, 2, 3, ... buckets."""
    for size, expected in enumerate(case["coeff"], 1):
        yield f"{size} buckets", {"coefficient": smoothing_coefficient(size)}, {"coefficient": expected}


def replay_windows(case: Case) -> Steps:
    """One window of any kind, operation by operation."""
    window_ns, granularity_ns, t0 = to_ns(case["window"]), to_ns(case["granularity"]), to_ns(case["t0"])
    largest = MaxWindow(window_ns, granularity_ns)
    window = (WeightedWindow if case["kind"] == "weighted" else LinearWindow)(window_ns, granularity_ns)
    for op, t, *values in case["ops"]:
        now_ns = t0 + to_ns(t)
        came: Case = {}
        if case["kind"] == "max":
            came = {op: largest.record(now_ns, values[0])}
        elif op == "r":
            window.record(now_ns, values[0])
        elif op == "a":
            came = {op: window.average(now_ns)}
        elif op == "e":
            came = {op: window.is_empty(now_ns)}
        else:
            window.resize(now_ns, to_ns(values[0]))
        yield (op, t, *values[:-1]), came, {op: values[-1]}


def replay_scale(case: Case) -> Steps:
    """One decider; where the case records raw statistics (pipeline), they go through a collector first."""
    t0, meta = to_ns(case["t0"]), case.get("meta", {})
    decider = Decider(recorded_spec(case["spec"]), t0, None if case.get("initErr") else case["initReady"])
    metrics = None
    if any("rec" in step for step in case["steps"]):
        metrics = RevisionMetrics(
            MetricSpec(
                scaling_metric=case["spec"]["scalingMetric"],
                stable_window_ns=to_ns(meta["stableWindow"]),
                panic_window_ns=to_ns(meta["panicWindow"]),
                weighted=meta["algorithm"].startswith("weighted"),
                scraped=bool(meta["scrapeTarget"]),
            )
        )
    for step in case["steps"]:
        if "spec" in step:
            decider.spec = recorded_spec(step["spec"])
        given = {key: step[key] for key in ("t", "ready", "stable", "panic", "err", "rec") if key in step}
        yield given, _decide(decider, metrics, t0, step), step


def _decide(decider: Decider, metrics: RevisionMetrics | None, t0: int, step: Case) -> Case:
    now_ns, error = t0 + to_ns(step["t"]), step.get("err")
    came: dict[str, object] = {}
    ready = None if error == "pods" else 0 if error == "podsnotfound" else step["ready"]
    measured = None if error in ("nodata", "notcollecting", "metric") else (step["stable"], step["panic"])
    if metrics is not None:
        for t, *values in step.get("rec", ()):
            metrics.record(t0 + to_ns(t), Stat(*values))
        measured = metrics.stable_and_panic(now_ns)
        came["err"] = "nodata" if measured is None else error if error != "nodata" else None
        if measured is not None:
            came["stable"], came["panic"] = measured
    result = scale(decider, now_ns, ready, measured)
    came |= {"desired": result.desired, "excessBurst": result.excess_burst_capacity, "valid": result.valid}
    return came | {"pm": int(decider.panic_time_ns is not None), "mp": decider.max_panic_pods}


def _revision(given: Case) -> tuple[DeciderSpec, MetricSpec, ScalePolicy]:
    """What a revision's annotations and the cluster's ConfigMap come to."""
    settings = AutoscalerSettings.from_config_map(given["config"] or {})
    annotations, reachability = given["annotations"] or {}, given["reachability"]
    return (
        decider_spec(settings, annotations, given["containerConcurrency"], reachability),
        metric_spec(settings, annotations),
        scale_policy(settings, annotations, reachability, to_ns(given.get("progressDeadline", 600))),
    )


def replay_decider_spec(case: Case) -> Steps:
    """A decider's spec of settings and annotations."""
    given = case["in"]
    spec, metric, _ = _revision(given)
    came: dict[str, object] = {
        theirs: getattr(spec, ours) / SECOND_NS if ours.endswith("_ns") else getattr(spec, ours)
        for theirs, ours in _SPEC_FIELDS.items()
    }
    came["panicWindow"] = metric.panic_window_ns / SECOND_NS
    came["metricStableWindow"] = metric.stable_window_ns / SECOND_NS
    came["numActivators"] = num_activators(spec, given["ready"])
    yield given, came, case["out"]


def replay_scaler(case: Case) -> Steps:
    """One scaling of a PodAutoscaler."""
    given = case["in"]
    spec, _, policy = _revision(given)
    initialized, ready, status = given["scaleTargetInitialized"], given["ready"], given["active"]
    seen = ScaleInput(
        desired=given["desired"],
        replicas=given["replicas"],
        active_status=status,
        active_age_ns=to_ns(given["inStateFor"]),
        initialized=initialized,
        sks_mode=given["sksMode"],
        proxy_for_ns=to_ns(given["proxyFor"] or 0),
        probe_ok=given["probe"] == "ok",
    )
    outcome = desired_replicas(policy, seen)
    before = ActiveCondition(status, {"True": "", "False": "NoTraffic", "Unknown": "Queued"}[status])
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
    yield given, came, case["out"]


def replay_lifecycle(case: Case) -> Steps:
    """A PodAutoscaler's life: only its own state and the replicas are carried from row to row."""
    spec, _, policy = _revision(case)
    active, initialized, wanted, replicas = ActiveCondition(), False, -1, policy.initial_scale
    for number, values in enumerate(case["steps"]):
        row = dict(zip(case["cols"], values, strict=True))
        now_ns, ready, mode, outcome = to_ns(row["t"]), row["ready"], row["sksMode"], ScaleOutcome(-1)
        if number == 0:
            active = replace(active, since_ns=now_ns)
        if mode:
            seen = ScaleInput(
                desired=row["desired"],
                replicas=replicas,
                active_status=active.status,
                active_age_ns=now_ns - active.since_ns,
                initialized=initialized,
                sks_mode=mode,
                proxy_for_ns=to_ns(row["proxyFor"] or 0),
                probe_ok=ready == 0 or mode == PROXY,
            )
            outcome = desired_replicas(policy, seen)
        want, later = outcome.want, outcome.requeue_after_ns
        replicas = replicas if outcome.replicas is None else outcome.replicas
        active, initialized = active_condition(policy, active, initialized, want, ready, now_ns, bool(mode))
        wanted = wanted if want < 0 <= wanted else want
        came = {
            "want": wanted,
            "mode": sks_mode(want, row["ebc"]),
            "numActivators": num_activators(spec, ready) if mode else MIN_ACTIVATORS,
            "replicas": replicas,
            "active": active.status,
            "reason": active.reason,
            "initialized": int(initialized),
            "enqueueAfter": None if later is None else later / SECOND_NS,
            "probed": int(outcome.probed),
        }
        yield {key: row[key] for key in ("t", "ready", "desired", "ebc", "sksMode", "proxyFor")}, came, row
