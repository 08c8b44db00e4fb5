"""Which autoscaling annotations are refused, and with which words: the rules of Knative's webhook.

The counterpart is pkg/apis/autoscaling/annotation_validation.go; messages and paths read as Knative's.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from minirun.autoscaling.settings import (
    HPA_CLASS,
    INT32_MAX,
    KPA_CLASS,
    TARGET_MIN,
    WINDOW_MAX_NS,
    WINDOW_MIN_NS,
    AutoscalerSettings,
    parse_int32,
    parse_number,
)
from minirun.autoscaling.spec import (
    CONCURRENCY,
    POD_RETENTION,
    PREFIX,
    RPS,
    WEIGHTED,
    find_annotation,
    read,
)
from minirun.model.clock import SECOND_NS
from minirun.model.durations import format_duration, parse_duration

ALGORITHMS = ("", "linear", *WEIGHTED)


class AnnotationError(NamedTuple):
    """What is wrong, and the annotations' keys: their paths below `metadata.annotations`."""

    message: str
    paths: tuple[str, ...]


def _whole(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise ValueError(text)
    return int(text)


_ANY = float("inf")

# annotation, how it is read, least, most
_VALUES: tuple[tuple[str, Callable[[str], float], float, float], ...] = (
    ("min-scale", _whole, 0, INT32_MAX),
    ("max-scale", _whole, 0, INT32_MAX),
    ("panic-window-percentage", parse_number, 1, 100),
    ("panic-threshold-percentage", parse_number, 110, 1000),
    ("target-utilization-percentage", parse_number, 1, 100),
    ("window", parse_duration, WINDOW_MIN_NS, WINDOW_MAX_NS),
    (POD_RETENTION, parse_duration, 0, WINDOW_MAX_NS),
    ("scale-down-delay", parse_duration, 0, WINDOW_MAX_NS),
    ("target", parse_number, -_ANY, _ANY),
    ("target-burst-capacity", parse_number, -_ANY, _ANY),
    ("activation-scale", parse_int32, -_ANY, _ANY),
    ("initial-scale", parse_int32, -_ANY, _ANY),
)


def check_annotations(annotations: Mapping[str, str], settings: AutoscalerSettings) -> list[AnnotationError]:
    """Everything that is wrong with the autoscaling annotations of a Service's or a Revision's template."""
    return [*_names(annotations), *_values(annotations), *_scales(annotations, settings)]


def _names(annotations: Mapping[str, str]) -> Iterator[AnnotationError]:
    """Class, metric and algorithm. Autoscalers of another class may have values of their own."""
    class_name = annotations.get(PREFIX + "class", KPA_CLASS)
    if class_name.endswith(".autoscaling.knative.dev") and class_name not in (KPA_CLASS, HPA_CLASS):
        yield AnnotationError(f"invalid value: {class_name}", (PREFIX + "class",))
    metric = annotations.get(PREFIX + "metric", CONCURRENCY)
    allowed = {KPA_CLASS: metric in (CONCURRENCY, RPS), HPA_CLASS: metric != ""}
    if not allowed.get(class_name, True):
        yield AnnotationError(f"invalid value: {metric}", (PREFIX + "metric",))
    key, algorithm = find_annotation(annotations, "metric-aggregation-algorithm") or ("", "")
    if class_name == KPA_CLASS and algorithm not in ALGORITHMS:
        yield AnnotationError(f"invalid value: {algorithm}", (key,))


def _values(annotations: Mapping[str, str]) -> Iterator[AnnotationError]:
    """Each value by itself."""
    for name, parse, least, most in _VALUES:
        if not (found := find_annotation(annotations, name)):
            continue
        key, text = found
        try:
            value = parse(text)
        except ValueError:
            value = None
        show = format_duration if parse is parse_duration else str
        if value is None or (name == "target-burst-capacity" and value < 0 and value != -1):
            yield AnnotationError(f"invalid value: {text}", (key,))
        elif name == "target" and value < TARGET_MIN:
            yield AnnotationError(f"target {text} should be at least {TARGET_MIN}", (key,))
        elif not least <= value <= most:
            yield AnnotationError(f"expected {show(least)} <= {text} <= {show(most)}", (key,))
        elif name in ("window", "scale-down-delay") and value % SECOND_NS:
            yield AnnotationError("must be specified with at most second precision", (key,))


def _scales(annotations: Mapping[str, str], settings: AutoscalerSettings) -> Iterator[AnnotationError]:
    """Minimum, maximum, the cluster's limit, the activation scale and the initial scale."""
    low = max(0, read(annotations, "min-scale", parse_int32, 0))
    high = max(0, read(annotations, "max-scale", parse_int32, 0))
    limit = settings.max_scale_limit
    if high and high < low:
        message = f"max-scale={high} is less than min-scale={low}"
        yield AnnotationError(message, (PREFIX + "max-scale", PREFIX + "min-scale"))
    if limit and (found := find_annotation(annotations, "max-scale")):
        if high > limit:
            yield AnnotationError(f"expected 1 <= {high} <= {limit}", (found[0],))
        elif high == 0:
            yield AnnotationError(f"max-scale=0 (unlimited), must be less than {limit}", (found[0],))
    if (scale := read(annotations, "activation-scale", parse_int32, None)) is not None:
        key = PREFIX + "activation-scale"
        if low > scale:
            yield AnnotationError(f"min-scale={low} is greater than activation-scale={scale}", (key,))
        elif high and high < scale:
            yield AnnotationError(f"max-scale={high} is less than activation-scale={scale}", (key,))
        elif scale < 2:
            yield AnnotationError(f"activation-scale={scale} must be greater than 1", (key,))
    key, text = find_annotation(annotations, "initial-scale") or ("", "")
    initial = read(annotations, "initial-scale", parse_int32, 1)
    if initial < 0:
        yield AnnotationError(f"invalid value: {text}", (f"{key} must be greater than 0",))
    elif initial == 0 and not settings.allow_zero_initial_scale:
        yield AnnotationError(f"invalid value: {text}", (f"{key}=0 not allowed by cluster",))
