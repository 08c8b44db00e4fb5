"""Which autoscaling annotations are refused, and with which words: the rules of Knative's webhook.

The counterpart is pkg/apis/autoscaling/annotation_validation.go; messages and paths read as Knative's.
"""

import re
from collections.abc import Callable, Mapping
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
from minirun.autoscaling.spec import CONCURRENCY, POD_RETENTION, PREFIX, RPS, WEIGHTED, find_annotation
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


# annotation, how it is read, least, most
_RANGES: tuple[tuple[str, Callable[[str], float], int, int], ...] = (
    ("min-scale", _whole, 0, INT32_MAX),
    ("max-scale", _whole, 0, INT32_MAX),
    ("panic-window-percentage", parse_number, 1, 100),
    ("panic-threshold-percentage", parse_number, 110, 1000),
    ("target-utilization-percentage", parse_number, 1, 100),
    ("window", parse_duration, WINDOW_MIN_NS, WINDOW_MAX_NS),
    (POD_RETENTION, parse_duration, 0, WINDOW_MAX_NS),
    ("scale-down-delay", parse_duration, 0, WINDOW_MAX_NS),
)


def check_annotations(annotations: Mapping[str, str], settings: AutoscalerSettings) -> list[AnnotationError]:
    """Everything that is wrong with the autoscaling annotations of a Service's or a Revision's template."""
    check = _Check(annotations)
    check.names()
    check.ranges()
    check.targets()
    check.scales(settings)
    return check.errors


class _Check:
    """One pass over a map of annotations; what is wrong gathers in `errors`."""

    def __init__(self, annotations: Mapping[str, str]) -> None:
        self.annotations = annotations
        self.errors: list[AnnotationError] = []

    def refuse(self, message: str, *paths: str) -> None:
        self.errors.append(AnnotationError(message, paths))

    def read(self, name: str, parse: Callable[[str], float]) -> tuple[str, str, float] | None:
        """Key, text and value of an annotation; None if it is not there or, refused, does not parse."""
        if found := find_annotation(self.annotations, name):
            try:
                return *found, parse(found[1])
            except ValueError:
                self.refuse(f"invalid value: {found[1]}", found[0])
        return None

    def names(self) -> None:
        """Class, metric and algorithm. Autoscalers of another class may have values of their own."""
        class_name = self.annotations.get(PREFIX + "class", KPA_CLASS)
        if class_name.endswith(".autoscaling.knative.dev") and class_name not in (KPA_CLASS, HPA_CLASS):
            self.refuse(f"invalid value: {class_name}", PREFIX + "class")
        metric = self.annotations.get(PREFIX + "metric", CONCURRENCY)
        if (class_name == KPA_CLASS and metric not in (CONCURRENCY, RPS)) or (
            class_name == HPA_CLASS and not metric
        ):
            self.refuse(f"invalid value: {metric}", PREFIX + "metric")
        key, algorithm = find_annotation(self.annotations, "metric-aggregation-algorithm") or ("", "")
        if class_name == KPA_CLASS and algorithm not in ALGORITHMS:
            self.refuse(f"invalid value: {algorithm}", key)

    def ranges(self) -> None:
        for name, parse, least, most in _RANGES:
            if read := self.read(name, parse):
                key, text, value = read
                show = format_duration if parse is parse_duration else str
                if not least <= value <= most:
                    self.refuse(f"expected {show(least)} <= {text} <= {show(most)}", key)
                elif name in ("window", "scale-down-delay") and value % SECOND_NS:
                    self.refuse("must be specified with at most second precision", key)

    def targets(self) -> None:
        if (read := self.read("target", parse_number)) and read[2] < TARGET_MIN:
            self.refuse(f"target {read[1]} should be at least {TARGET_MIN}", read[0])
        if (read := self.read("target-burst-capacity", parse_number)) and read[2] < 0 and read[2] != -1:
            self.refuse(f"invalid value: {read[1]}", read[0])

    def scales(self, settings: AutoscalerSettings) -> None:
        """Minimum, maximum, the cluster's limit, the activation scale and the initial scale."""
        low, high, limit = self._scale("min-scale"), self._scale("max-scale"), settings.max_scale_limit
        if high and high < low:
            message = f"max-scale={high} is less than min-scale={low}"
            self.refuse(message, PREFIX + "max-scale", PREFIX + "min-scale")
        if limit and (found := find_annotation(self.annotations, "max-scale")):
            if high > limit:
                self.refuse(f"expected 1 <= {high} <= {limit}", found[0])
            elif high == 0:
                self.refuse(f"max-scale=0 (unlimited), must be less than {limit}", found[0])
        if read := self.read("activation-scale", parse_int32):
            key, _, scale = read
            if low > scale:
                self.refuse(f"min-scale={low} is greater than activation-scale={scale}", key)
            elif high and high < scale:
                self.refuse(f"max-scale={high} is less than activation-scale={scale}", key)
            elif scale < 2:
                self.refuse(f"activation-scale={scale} must be greater than 1", key)
        if read := self.read("initial-scale", parse_int32):
            key, text, scale = read
            if scale < 0:
                self.refuse(f"invalid value: {text}", f"{key} must be greater than 0")
            elif scale == 0 and not settings.allow_zero_initial_scale:
                self.refuse(f"invalid value: {text}", f"{key}=0 not allowed by cluster")

    def _scale(self, name: str) -> int:
        """A bound for comparison; what is wrong with itself `ranges` has said."""
        found = find_annotation(self.annotations, name)
        try:
            return max(0, parse_int32(found[1])) if found else 0
        except ValueError:
            return 0
