"""Settings, annotations over settings, and what is refused."""

import re
from dataclasses import replace

import pytest

from minirun.autoscaling.annotations import AnnotationError, check_annotations
from minirun.autoscaling.settings import AutoscalerSettings
from minirun.autoscaling.spec import (
    DeciderSpec,
    MetricSpec,
    ScalePolicy,
    decider_spec,
    metric_spec,
    scale_policy,
)
from minirun.model.clock import SECOND_NS as S

DEFAULTS = AutoscalerSettings()
A = "autoscaling.knative.dev/"


def annotate(**values: str) -> dict[str, str]:
    return {A + name.replace("_", "-"): value for name, value in values.items()}


def test_an_empty_config_map_gives_the_defaults_and_unknown_keys_are_ignored() -> None:
    assert AutoscalerSettings.from_config_map({"_example": "…", "tick-interval": "2s"}) == DEFAULTS


def test_every_kind_of_value_is_read() -> None:
    data = {
        "enable-scale-to-zero": "f",
        "stable-window": "1m30s",
        "max-scale": "7",
        "target-burst-capacity": "-1",
        "pod-autoscaler-class": "mine",
    }
    expected = replace(
        DEFAULTS,
        enable_scale_to_zero=False,
        stable_window_ns=90 * S,
        max_scale=7,
        target_burst_capacity=-1.0,
        pod_autoscaler_class="mine",
    )
    assert AutoscalerSettings.from_config_map(data) == expected


@pytest.mark.parametrize(
    ("text", "fraction"), [("70", 0.7), ("0.7", 0.7), ("1", 1.0), ("1.0", 1.0), ("100", 1.0)]
)
def test_the_target_percentage_may_be_a_fraction(text: str, fraction: float) -> None:
    settings = AutoscalerSettings.from_config_map({"container-concurrency-target-percentage": text})
    assert settings.target_fraction == fraction


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"stable-window": "abc"}, 'failed to parse "stable-window": time: invalid duration "abc"'),
        ({"max-scale": "1.5"}, 'failed to parse "max-scale": "1.5" is not a whole number of 32 bits'),
        (
            {"max-scale": "2147483648"},
            'failed to parse "max-scale": "2147483648" is not a whole number of 32 bits',
        ),
        ({"activator-capacity": "NaN"}, 'failed to parse "activator-capacity": "NaN" is not a finite number'),
        (
            {"activator-capacity": "1e999"},
            'failed to parse "activator-capacity": "1e999" is not a finite number',
        ),
        (
            {"enable-scale-to-zero": "yes"},
            'failed to parse "enable-scale-to-zero": "yes" is neither true nor false',
        ),
        ({"stable-window": "5s"}, "stable-window = 5s, must be in [6s; 1h0m0s] range"),
        ({"stable-window": "1h1s"}, "stable-window = 1h0m1s, must be in [6s; 1h0m0s] range"),
        ({"stable-window": "6.5s"}, "stable-window = 6.5s, must be specified with at most second precision"),
        ({"scale-down-delay": "-1s"}, "scale-down-delay = -1s, cannot be negative"),
        (
            {"scale-down-delay": "1ms"},
            "scale-down-delay = 1ms, must be specified with at most second precision",
        ),
        ({"scale-to-zero-grace-period": "0s"}, "scale-to-zero-grace-period = 0s, must be positive"),
        (
            {"scale-to-zero-pod-retention-period": "-1s"},
            "scale-to-zero-pod-retention-period = -1s, cannot be negative",
        ),
        (
            {"target-burst-capacity": "-2"},
            "target-burst-capacity = -2.0, must be non-negative or -1 (for unlimited)",
        ),
        (
            {"container-concurrency-target-percentage": "101"},
            "container-concurrency-target-percentage = 101.0, is outside of valid range of (0, 100]",
        ),
        (
            {"container-concurrency-target-default": "0.01"},
            "container-concurrency-target-default = 0.01,"
            " times container-concurrency-target-percentage can't be less than 0.01",
        ),
        (
            {"requests-per-second-target-default": "0.001"},
            "requests-per-second-target-default = 0.001, must be at least 0.01",
        ),
        ({"activator-capacity": "0.5"}, "activator-capacity = 0.5, must be at least 1"),
        ({"max-scale-up-rate": "1"}, "max-scale-up-rate = 1.0, must be greater than 1.0"),
        ({"max-scale-down-rate": "1"}, "max-scale-down-rate = 1.0, must be greater than 1.0"),
        ({"panic-window-percentage": "0.5"}, "panic-window-percentage = 0.5, must be in [1, 100] interval"),
        (
            {"initial-scale": "0"},
            "initial-scale = 0, must be at least 0 (or at least 1 when allow-zero-initial-scale is false)",
        ),
        ({"max-scale-limit": "-1"}, "max-scale-limit = -1, must be at least 0"),
        ({"max-scale-limit": "5"}, "max-scale = 0, must be at least 0 (1 with a max-scale-limit)"),
        ({"max-scale-limit": "5", "max-scale": "6"}, "max-scale = 6, must be at most max-scale-limit"),
        (
            {"max-scale": "2", "min-scale": "3"},
            "min-scale = 3, must be at least 0 and at most max-scale, if set",
        ),
    ],
)
def test_a_wrong_config_map_is_refused(data: dict[str, str], sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        AutoscalerSettings.from_config_map(data)


def test_zero_may_be_the_initial_scale_where_the_cluster_allows_it() -> None:
    data = {"allow-zero-initial-scale": "true", "initial-scale": "0"}
    assert AutoscalerSettings.from_config_map(data).initial_scale == 0


def test_camel_case_annotations_count_where_they_ever_existed_and_kebab_case_wins() -> None:
    camel = {
        A + "minScale": "2",
        A + "maxScale": "9",
        A + "initialScale": "3",
        A + "targetUtilizationPercentage": "50",
        A + "targetBurstCapacity": "-1",
        A + "panicWindowPercentage": "20",
        A + "panicThresholdPercentage": "300",
        A + "scaleDownDelay": "10s",
        A + "scaleToZeroPodRetentionPeriod": "45s",
        A + "metricAggregationAlgorithm": "weightedExponential",
        A + "activationScale": "5",
    }
    spec = decider_spec(DEFAULTS, camel, 0)
    assert (spec.target_value, spec.target_burst_capacity, spec.panic_threshold) == (50.0, -1.0, 3.0)
    assert (spec.scale_down_delay_ns, spec.initial_scale, spec.activation_scale) == (10 * S, 3, 0)
    assert metric_spec(DEFAULTS, camel) == MetricSpec(panic_window_ns=12 * S, weighted=True, scraped=False)
    policy = scale_policy(DEFAULTS, camel)
    assert (policy.min_scale, policy.max_scale, policy.retention_ns) == (2, 9, 45 * S)
    assert scale_policy(DEFAULTS, {**camel, **annotate(min_scale="4")}).min_scale == 4


def test_an_annotation_of_another_prefix_is_another_annotation() -> None:
    foreign = {"target": "1", "metric": "rps", "example.com/window": "6s"}
    assert decider_spec(DEFAULTS, foreign, 0) == DeciderSpec(target_value=70.0)


def test_an_unknown_algorithm_is_linear() -> None:
    assert not metric_spec(DEFAULTS, annotate(metric_aggregation_algorithm="weighted-median")).weighted


@pytest.mark.parametrize("text", ["1e", "1_0", " 1", "1 ", "", ".", "inf", "NaN", "0x10", "١"])
def test_only_decimal_numbers_are_numbers(text: str) -> None:
    assert check_annotations(annotate(target=text), DEFAULTS)[0].message == f"invalid value: {text}"


def test_an_annotation_that_does_not_parse_counts_as_absent() -> None:
    nonsense = annotate(target="x", window="y", min_scale="z", initial_scale="1.5", target_burst_capacity="?")
    assert decider_spec(DEFAULTS, nonsense, 0) == DeciderSpec(target_value=70.0)
    assert (
        scale_policy(DEFAULTS, {**nonsense, "serving.knative.dev/progress-deadline": "soon"}) == ScalePolicy()
    )


@pytest.mark.parametrize(
    ("annotations", "limit", "target", "total"),
    [
        ({}, 10, 7.0, 10.0),
        (annotate(target="20"), 10, 7.0, 10.0),
        (annotate(target="5"), 10, 3.5, 5.0),
        (annotate(target="0.001"), 0, 0.01, 0.001),
        (annotate(metric="rps"), 10, 140.0, 200.0),
        (annotate(metric="rps", target="50"), 10, 35.0, 50.0),
        (annotate(metric="cpu", target="50"), 10, 35.0, 50.0),
    ],
)
def test_the_target_is_bounded_by_what_a_container_takes(
    annotations: dict[str, str], limit: int, target: float, total: float
) -> None:
    spec = decider_spec(DEFAULTS, annotations, limit)
    assert (spec.target_value, spec.total_value) == (pytest.approx(target, rel=1e-15), total)


@pytest.mark.parametrize(
    ("window", "percentage", "seconds"),
    [("60s", "10", 6), ("6s", "1", 1), ("15s", "10", 2), ("14s", "10", 1)],
)
def test_the_panic_window_is_rounded_to_whole_seconds(window: str, percentage: str, seconds: int) -> None:
    spec = metric_spec(DEFAULTS, annotate(window=window, panic_window_percentage=percentage))
    assert spec.panic_window_ns == seconds * S


def test_an_unreachable_revision_has_no_minimum_but_keeps_its_maximum() -> None:
    policy = scale_policy(DEFAULTS, annotate(min_scale="2", max_scale="3"), "Unreachable")
    assert (policy.min_scale, policy.max_scale, policy.reachable) == (0, 3, False)


def test_zero_as_initial_scale_counts_only_where_it_is_allowed() -> None:
    zero = annotate(initial_scale="0")
    assert scale_policy(DEFAULTS, zero).initial_scale == 1
    assert scale_policy(replace(DEFAULTS, allow_zero_initial_scale=True), zero).initial_scale == 0


LIMITED = replace(DEFAULTS, max_scale=3, max_scale_limit=5)


@pytest.mark.parametrize(
    ("annotations", "settings", "message", "paths"),
    [
        (annotate(min_scale="-1"), DEFAULTS, "expected 0 <= -1 <= 2147483647", ["min-scale"]),
        (annotate(min_scale="2147483648"), DEFAULTS, "expected 0 <= 2147483648 <= 2147483647", ["min-scale"]),
        (annotate(max_scale="a"), DEFAULTS, "invalid value: a", ["max-scale"]),
        ({A + "maxScale": "a"}, DEFAULTS, "invalid value: a", ["maxScale"]),
        (
            annotate(min_scale="3", max_scale="2"),
            DEFAULTS,
            "max-scale=2 is less than min-scale=3",
            ["max-scale", "min-scale"],
        ),
        (annotate(max_scale="6"), LIMITED, "expected 1 <= 6 <= 5", ["max-scale"]),
        (annotate(max_scale="0"), LIMITED, "max-scale=0 (unlimited), must be less than 5", ["max-scale"]),
        (annotate(activation_scale="x"), DEFAULTS, "invalid value: x", ["activation-scale"]),
        (
            annotate(activation_scale="1"),
            DEFAULTS,
            "activation-scale=1 must be greater than 1",
            ["activation-scale"],
        ),
        (
            annotate(activation_scale="2", min_scale="3"),
            DEFAULTS,
            "min-scale=3 is greater than activation-scale=2",
            ["activation-scale"],
        ),
        (
            annotate(activation_scale="4", max_scale="3"),
            DEFAULTS,
            "max-scale=3 is less than activation-scale=4",
            ["activation-scale"],
        ),
        (annotate(target="0"), DEFAULTS, "target 0 should be at least 0.01", ["target"]),
        (annotate(target="many"), DEFAULTS, "invalid value: many", ["target"]),
        (annotate(target="NaN"), DEFAULTS, "invalid value: NaN", ["target"]),
        (
            annotate(target_utilization_percentage="101"),
            DEFAULTS,
            "expected 1 <= 101 <= 100",
            ["target-utilization-percentage"],
        ),
        (annotate(target_burst_capacity="-2"), DEFAULTS, "invalid value: -2", ["target-burst-capacity"]),
        (
            annotate(panic_window_percentage="0"),
            DEFAULTS,
            "expected 1 <= 0 <= 100",
            ["panic-window-percentage"],
        ),
        (
            annotate(panic_threshold_percentage="109"),
            DEFAULTS,
            "expected 110 <= 109 <= 1000",
            ["panic-threshold-percentage"],
        ),
        (annotate(window="5s"), DEFAULTS, "expected 6s <= 5s <= 1h0m0s", ["window"]),
        (annotate(window="6"), DEFAULTS, "invalid value: 6", ["window"]),
        (annotate(window="6.5s"), DEFAULTS, "must be specified with at most second precision", ["window"]),
        (annotate(scale_down_delay="61m"), DEFAULTS, "expected 0s <= 61m <= 1h0m0s", ["scale-down-delay"]),
        (
            annotate(scale_to_zero_pod_retention_period="-1s"),
            DEFAULTS,
            "expected 0s <= -1s <= 1h0m0s",
            ["scale-to-zero-pod-retention-period"],
        ),
        (annotate(metric="cpu"), DEFAULTS, "invalid value: cpu", ["metric"]),
        (
            annotate(metric="", **{"class": "hpa.autoscaling.knative.dev"}),
            DEFAULTS,
            "invalid value: ",
            ["metric"],
        ),
        (
            {A + "class": "x.autoscaling.knative.dev"},
            DEFAULTS,
            "invalid value: x.autoscaling.knative.dev",
            ["class"],
        ),
        (
            annotate(metric_aggregation_algorithm="median"),
            DEFAULTS,
            "invalid value: median",
            ["metric-aggregation-algorithm"],
        ),
        (
            annotate(initial_scale="-1"),
            DEFAULTS,
            "invalid value: -1",
            ["initial-scale must be greater than 0"],
        ),
        (
            annotate(initial_scale="0"),
            DEFAULTS,
            "invalid value: 0",
            ["initial-scale=0 not allowed by cluster"],
        ),
    ],
)
def test_a_wrong_annotation_is_refused_with_knatives_words(
    annotations: dict[str, str], settings: AutoscalerSettings, message: str, paths: list[str]
) -> None:
    error = AnnotationError(message, tuple(A + path for path in paths))
    assert check_annotations(annotations, settings) == [error]


@pytest.mark.parametrize(
    "annotations",
    [
        {},
        annotate(
            min_scale="1", max_scale="0", target="0.01", target_burst_capacity="-1", window="6s", metric="rps"
        ),
        annotate(metric="anything", metric_aggregation_algorithm="median", **{"class": "mine.example.com"}),
        annotate(metric="cpu", **{"class": "hpa.autoscaling.knative.dev"}),
        annotate(
            metric_aggregation_algorithm="weightedExponential", scale_down_delay="1h", activation_scale="2"
        ),
    ],
)
def test_right_annotations_pass(annotations: dict[str, str]) -> None:
    assert check_annotations(annotations, DEFAULTS) == []


def test_everything_that_is_wrong_is_told() -> None:
    wrong = annotate(min_scale="x", target="0", window="1s", metric="cpu")
    assert len(check_annotations(wrong, DEFAULTS)) == 4
