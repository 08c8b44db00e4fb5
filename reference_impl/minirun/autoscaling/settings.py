"""What the cluster tells the autoscaler: the ConfigMap `config-autoscaler` as one frozen value.

The dataclass is the table of keys and defaults; a table of checks follows it. The counterpart in Knative is
pkg/autoscaler/config. A revision's annotations win over these values: see `spec.py`.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any  # a check's value is of its field's type

from minirun.model.clock import SECOND_NS
from minirun.model.durations import format_duration, parse_duration

KPA_CLASS, HPA_CLASS = "kpa.autoscaling.knative.dev", "hpa.autoscaling.knative.dev"
TARGET_MIN = 0.01
WINDOW_MIN_NS, WINDOW_MAX_NS = 6 * SECOND_NS, 3600 * SECOND_NS
INT32_MAX = (1 << 31) - 1

Value = str | bool | int | float
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class AutoscalerSettings:
    """The ConfigMap's keys and defaults: a field is the key with `_` for `-` (durations end in `_ns`)."""

    pod_autoscaler_class: str = KPA_CLASS
    enable_scale_to_zero: bool = True
    allow_zero_initial_scale: bool = False
    max_scale_up_rate: float = 1000.0
    max_scale_down_rate: float = 2.0
    container_concurrency_target_percentage: float = 70.0
    container_concurrency_target_default: float = 100.0
    requests_per_second_target_default: float = 200.0
    target_burst_capacity: float = 211.0
    panic_window_percentage: float = 10.0
    panic_threshold_percentage: float = 200.0
    activator_capacity: float = 100.0
    initial_scale: int = 1
    min_scale: int = 0
    max_scale: int = 0
    max_scale_limit: int = 0
    stable_window_ns: int = 60 * SECOND_NS
    scale_down_delay_ns: int = 0
    scale_to_zero_grace_period_ns: int = 30 * SECOND_NS
    scale_to_zero_pod_retention_period_ns: int = 0

    @classmethod
    def from_config_map(cls, data: Mapping[str, str]) -> "AutoscalerSettings":
        """Settings of a ConfigMap's `data`; absent keys keep their default, unknown keys are ignored.

        Raises ValueError at the first value that does not parse or is out of range; the text names the key,
        the value and what is allowed.
        """
        values: dict[str, Value] = {}
        for field in fields(cls):
            if (key := _key(field.name)) in data:
                parse = parse_duration if field.name.endswith("_ns") else _PARSERS[type(field.default)]
                try:
                    values[field.name] = parse(data[key])
                except ValueError as error:
                    raise ValueError(f'failed to parse "{key}": {error}') from None
        settings = cls(**values)  # type: ignore[arg-type]
        for name, holds, text in _CHECKS:
            value = getattr(settings, name)
            if not holds(value, settings):
                shown = format_duration(value) if name.endswith("_ns") else value
                raise ValueError(f"{_key(name)} = {shown}, {text}")
        return settings

    @property
    def target_fraction(self) -> float:
        """The target utilisation: a percentage over 1 is divided by 100 ("1" means 100 %, as "100" does)."""
        percentage = self.container_concurrency_target_percentage
        return percentage / 100.0 if percentage > 1.0 else percentage


def parse_int32(text: str) -> int:
    """A whole decimal number of 32 bits with an optional sign; ValueError otherwise."""
    if not re.fullmatch(r"[+-]?[0-9]+", text) or not -INT32_MAX - 1 <= int(text) <= INT32_MAX:
        raise ValueError(f'"{text}" is not a whole number of 32 bits')
    return int(text)


def parse_number(text: str) -> float:
    """A finite decimal number; ValueError otherwise (Go takes NaN too, and can decide nothing with it)."""
    number = float(text) if _DECIMAL.fullmatch(text) else math.nan
    if not math.isfinite(number):
        raise ValueError(f'"{text}" is not a finite number')
    return number


def _parse_boolean(text: str) -> bool:
    if text not in ("1", "t", "T", "true", "TRUE", "True", "0", "f", "F", "false", "FALSE", "False"):
        raise ValueError(f'"{text}" is neither true nor false')
    return text[0] in "1tT"


def _key(name: str) -> str:
    return name.removesuffix("_ns").replace("_", "-")


_PARSERS: dict[type, Callable[[str], Value]] = {
    str: str,
    bool: _parse_boolean,
    int: parse_int32,
    float: parse_number,
}

# What must hold: (field, test of its value and of all settings, what is said if it fails).
_PRECISION = "must be specified with at most second precision"
_CHECKS: tuple[tuple[str, Callable[[Any, AutoscalerSettings], bool], str], ...] = (
    ("scale_to_zero_grace_period_ns", lambda v, _: v > 0, "must be positive"),
    ("scale_down_delay_ns", lambda v, _: v >= 0, "cannot be negative"),
    ("scale_down_delay_ns", lambda v, _: v % SECOND_NS == 0, _PRECISION),
    ("scale_to_zero_pod_retention_period_ns", lambda v, _: v >= 0, "cannot be negative"),
    ("target_burst_capacity", lambda v, _: v >= 0 or v == -1, "must be non-negative or -1 (for unlimited)"),
    (
        "container_concurrency_target_percentage",
        lambda _, s: 0 < s.target_fraction <= 1,
        "is outside of valid range of (0, 100]",
    ),
    (
        "container_concurrency_target_default",
        lambda v, s: s.target_fraction * v >= TARGET_MIN,
        "times container-concurrency-target-percentage can't be less than 0.01",
    ),
    ("requests_per_second_target_default", lambda v, _: v >= TARGET_MIN, "must be at least 0.01"),
    ("activator_capacity", lambda v, _: v >= 1, "must be at least 1"),
    ("max_scale_up_rate", lambda v, _: v > 1, "must be greater than 1.0"),
    ("max_scale_down_rate", lambda v, _: v > 1, "must be greater than 1.0"),
    ("stable_window_ns", lambda v, _: WINDOW_MIN_NS <= v <= WINDOW_MAX_NS, "must be in [6s; 1h0m0s] range"),
    ("stable_window_ns", lambda v, _: v % SECOND_NS == 0, _PRECISION),
    ("panic_window_percentage", lambda v, _: 1 <= v <= 100, "must be in [1, 100] interval"),
    (
        "initial_scale",
        lambda v, s: v >= (not s.allow_zero_initial_scale),
        "must be at least 0 (or at least 1 when allow-zero-initial-scale is false)",
    ),
    ("max_scale_limit", lambda v, _: v >= 0, "must be at least 0"),
    (
        "max_scale",
        lambda v, s: v >= min(1, s.max_scale_limit),
        "must be at least 0 (1 with a max-scale-limit)",
    ),
    ("max_scale", lambda v, s: v <= (s.max_scale_limit or v), "must be at most max-scale-limit"),
    (
        "min_scale",
        lambda v, s: 0 <= v <= (s.max_scale or v),
        "must be at least 0 and at most max-scale, if set",
    ),
)
