"""What one revision asks of the autoscaler: its annotations over the cluster's settings.

A decider and a collector are told plain numbers (`DeciderSpec`, `MetricSpec`), the reconciler a
`ScalePolicy`; this module works them out. An annotation's key is looked up in kebab-case first, then in the
older camelCase; a value that does not parse counts as absent here, because `check_annotations` has refused it
before. The counterparts in Knative: pkg/apis/autoscaling (the webhook's rules), MakeDecider and MakeMetric in
pkg/reconciler/autoscaling.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from minirun.autoscaling.settings import TARGET_MIN, AutoscalerSettings, parse_int32, parse_number
from minirun.model.clock import SECOND_NS
from minirun.model.durations import parse_duration

PREFIX = "autoscaling.knative.dev/"
PROGRESS_DEADLINE = "serving.knative.dev/progress-deadline"
POD_RETENTION = "scale-to-zero-pod-retention-period"
CONCURRENCY, RPS = "concurrency", "rps"
WEIGHTED = ("weighted-exponential", "weightedExponential")
UNREACHABLE = "Unreachable"
RPS_TARGET_UTILIZATION = 0.7  # only the annotation can change it
ACTIVATION_GRACE_NS = 30 * SECOND_NS  # what an activation may take beyond the progress deadline

_KEBAB_CASE_ONLY = ("activation-scale", "target", "metric", "window", "class")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DeciderSpec:
    """What a decider works with; targets are per pod, in units of the metric (Knative's DeciderSpec)."""

    scaling_metric: str = CONCURRENCY
    target_value: float = 70.0  # what a pod should carry
    total_value: float = 100.0  # what a pod can carry
    target_burst_capacity: float = 211.0  # unexpected load to be ready for; -1: always buffer
    activator_capacity: float = 100.0
    panic_threshold: float = 2.0  # panic when need / ready pods reaches this
    max_scale_up_rate: float = 1000.0
    max_scale_down_rate: float = 2.0
    stable_window_ns: int = 60 * SECOND_NS
    scale_down_delay_ns: int = 0
    initial_scale: int = 1
    activation_scale: int = 0
    reachable: bool = True


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """What a collector keeps for one revision (Knative's MetricSpec)."""

    scaling_metric: str = CONCURRENCY
    stable_window_ns: int = 60 * SECOND_NS
    panic_window_ns: int = 6 * SECOND_NS
    weighted: bool = False  # exponentially weighted averages instead of linear ones
    scraped: bool = True  # pods are read; False (target burst capacity -1): the activator sees everything


@dataclass(frozen=True, slots=True)
class ScalePolicy:
    """What bounds a revision's number of pods and its way to zero."""

    min_scale: int = 0
    max_scale: int = 0  # 0: no limit
    initial_scale: int = 1
    reachable: bool = True
    enable_scale_to_zero: bool = True
    always_buffered: bool = False  # target burst capacity -1: the activator never leaves the path
    stable_window_ns: int = 60 * SECOND_NS
    grace_period_ns: int = 30 * SECOND_NS
    retention_ns: int = 0
    activation_timeout_ns: int = 630 * SECOND_NS


def find_annotation(annotations: Mapping[str, str], name: str) -> tuple[str, str] | None:
    """Key and value of an annotation, or None. name: in kebab-case, without prefix (or with another one)."""
    if (key := name if "/" in name else PREFIX + name) in annotations:
        return key, annotations[key]
    if "/" not in name and name not in _KEBAB_CASE_ONLY:
        first, *words = name.split("-")
        if (key := PREFIX + first + "".join(word.title() for word in words)) in annotations:
            return key, annotations[key]
    return None


def read(annotations: Mapping[str, str], name: str, parse: Callable[[str], T], default: T) -> T:
    """The value of an annotation (`name` as in `find_annotation`), `default` if absent or nonsense."""
    found = find_annotation(annotations, name)
    try:
        return parse(found[1]) if found else default
    except ValueError:
        return default


def decider_spec(
    settings: AutoscalerSettings,
    annotations: Mapping[str, str],
    container_concurrency: int,
    reachability: str = "",
) -> DeciderSpec:
    """The decider's numbers for one revision.

    container_concurrency: the revision's limit, 0 = none. reachability: `Reachable`, `Unreachable` or "" (not
    known yet, which counts as reachable).
    """
    metric = read(annotations, "metric", str, CONCURRENCY)
    if metric == RPS:
        total, utilization = settings.requests_per_second_target_default, RPS_TARGET_UTILIZATION
    else:
        total = float(container_concurrency) or settings.container_concurrency_target_default
        utilization = settings.target_fraction
    target = read(annotations, "target", parse_number, total)
    # No more than the container takes at a time can be asked of it.
    total = min(target, total) if metric == CONCURRENCY and container_concurrency else target
    utilization = read(annotations, "target-utilization-percentage", _parse_percentage, utilization)
    threshold = settings.panic_threshold_percentage / 100
    delay_ns = settings.scale_down_delay_ns
    return DeciderSpec(
        scaling_metric=metric,
        target_value=max(TARGET_MIN, total * utilization),
        total_value=total,
        target_burst_capacity=_burst_capacity(settings, annotations),
        activator_capacity=settings.activator_capacity,
        panic_threshold=read(annotations, "panic-threshold-percentage", _parse_percentage, threshold),
        max_scale_up_rate=settings.max_scale_up_rate,
        max_scale_down_rate=settings.max_scale_down_rate,
        stable_window_ns=_stable_window_ns(settings, annotations),
        scale_down_delay_ns=read(annotations, "scale-down-delay", parse_duration, delay_ns),
        initial_scale=_initial_scale(settings, annotations),
        activation_scale=read(annotations, "activation-scale", parse_int32, 0),
        reachable=reachability != UNREACHABLE,
    )


def metric_spec(settings: AutoscalerSettings, annotations: Mapping[str, str]) -> MetricSpec:
    """The collector's numbers for one revision."""
    stable_ns = _stable_window_ns(settings, annotations)
    percentage = read(annotations, "panic-window-percentage", parse_number, settings.panic_window_percentage)
    panic_ns = int(stable_ns * percentage / 100)
    panic_seconds = (panic_ns + SECOND_NS // 2) // SECOND_NS  # Go's Duration.Round: halves go up
    return MetricSpec(
        scaling_metric=read(annotations, "metric", str, CONCURRENCY),
        stable_window_ns=stable_ns,
        panic_window_ns=max(1, panic_seconds) * SECOND_NS,
        weighted=read(annotations, "metric-aggregation-algorithm", str, "") in WEIGHTED,
        scraped=_burst_capacity(settings, annotations) != -1,
    )


def scale_policy(
    settings: AutoscalerSettings,
    annotations: Mapping[str, str],
    reachability: str = "",
    progress_deadline_ns: int = 600 * SECOND_NS,
) -> ScalePolicy:
    """A revision's bounds and the times of its way to zero.

    progress_deadline_ns: the cluster's, from ConfigMap config-deployment; the annotation wins over it. An
    unreachable revision (no route leads to it) has no minimum.
    """
    reachable = reachability != UNREACHABLE
    deadline_ns = read(annotations, PROGRESS_DEADLINE, parse_duration, progress_deadline_ns)
    retention_ns = settings.scale_to_zero_pod_retention_period_ns
    return ScalePolicy(
        min_scale=read(annotations, "min-scale", parse_int32, settings.min_scale) if reachable else 0,
        max_scale=read(annotations, "max-scale", parse_int32, settings.max_scale),
        initial_scale=_initial_scale(settings, annotations),
        reachable=reachable,
        enable_scale_to_zero=settings.enable_scale_to_zero,
        always_buffered=_burst_capacity(settings, annotations) == -1,
        stable_window_ns=_stable_window_ns(settings, annotations),
        grace_period_ns=settings.scale_to_zero_grace_period_ns,
        retention_ns=read(annotations, POD_RETENTION, parse_duration, retention_ns),
        activation_timeout_ns=deadline_ns + ACTIVATION_GRACE_NS,
    )


def _parse_percentage(text: str) -> float:
    return parse_number(text) / 100


def _stable_window_ns(settings: AutoscalerSettings, annotations: Mapping[str, str]) -> int:
    return read(annotations, "window", parse_duration, settings.stable_window_ns)


def _burst_capacity(settings: AutoscalerSettings, annotations: Mapping[str, str]) -> float:
    return read(annotations, "target-burst-capacity", parse_number, settings.target_burst_capacity)


def _initial_scale(settings: AutoscalerSettings, annotations: Mapping[str, str]) -> int:
    scale = read(annotations, "initial-scale", parse_int32, settings.initial_scale)
    return scale if scale or settings.allow_zero_initial_scale else settings.initial_scale
