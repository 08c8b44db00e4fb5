# Your part of minirun, lab 5. `lab check 5` says how far it is.
"""Sliding windows over time: an average of what was measured, a maximum of what was decided.

A window is a ring of buckets on a grid of absolute time. Samples of the same bucket add up (they come from
different reporters), and an average is taken over the buckets that *can* hold data: a young window and a
stale tail shrink the denominator, a gap in the middle counts as zero. The running total loses expired buckets
one by one, in order, so that every rounding error is the same as in Knative's `TimedFloat64Buckets`,
`WeightedFloat64Buckets` (pkg/autoscaler/ aggregation) and `max.TimeWindow` (pkg/autoscaler/aggregation/max).
"""

from array import array
from collections import deque
from math import frexp, ldexp

from minirun.model.clock import SECOND_NS

NEVER = -(1 << 62)  # a bucket number before all time: "not written yet"
YEAR_ONE_SECONDS = 62_135_596_800  # from 0001-01-01, where Go's Time.Truncate starts to count, to 1970-01-01


class BucketWindow:
    """The ring of buckets: what an average is taken of. Every time is unix time in integer nanoseconds.

    window_ns: how far the window reaches back. granularity_ns: the width of a bucket, in whole seconds; it
    must divide the time between the years 1 and 1970, because Knative rounds times on one grid and numbers
    buckets on the other (7 s is refused with ValueError, 1, 2, 3 and 5 s are fine).

    `buckets[n % size]` is the sum of bucket n, for the `size` newest n up to `last`; `total` is their running
    sum; `first` and `last` are the numbers of the oldest and the newest bucket written, or NEVER.
    """

    __slots__ = ("_reach", "_window_ns", "buckets", "first", "granularity_ns", "last", "size", "total")

    def __init__(self, window_ns: int, granularity_ns: int = SECOND_NS) -> None:
        if granularity_ns < SECOND_NS or (YEAR_ONE_SECONDS * SECOND_NS) % granularity_ns:
            raise ValueError(
                f"granularity {granularity_ns} ns must be seconds that divide {YEAR_ONE_SECONDS} s: use 1 s"
            )
        self.granularity_ns = granularity_ns
        self.first = self.last = NEVER
        self._set_window(window_ns)

    def _set_window(self, window_ns: int) -> None:
        self._window_ns = window_ns
        self._reach = window_ns // self.granularity_ns
        self.size = -(-window_ns // self.granularity_ns)
        self.buckets = array("d", bytes(8 * self.size))
        self.total = 0.0

    def record(self, now_ns: int, value: float) -> None:
        """Add `value` to the bucket of `now_ns`. A sample that is a whole window late is dropped."""
        bucket = now_ns // self.granularity_ns
        last, size = self.last, self.size
        if bucket != last:
            if bucket <= last - size:
                return
            if self.first == NEVER or bucket < self.first:
                self.first = bucket
            if bucket > last:
                self._advance(bucket)
        self.buckets[bucket % size] += value
        self.total += value

    def _advance(self, bucket: int) -> None:
        """Make `bucket` the newest: what has left the window is taken off the total, bucket by bucket."""
        buckets, size, last = self.buckets, self.size, self.last
        if bucket - last >= size:
            self.first = bucket
            self.total = 0.0
            for index in range(size):
                buckets[index] = 0.0
        else:
            for expired in range(last + 1, bucket + 1):
                self.total -= buckets[expired % size]
                buckets[expired % size] = 0.0
        self.last = bucket

    def is_empty(self, now_ns: int) -> bool:
        """Whether nothing was written for longer than the window."""
        return now_ns // self.granularity_ns - self.last > self._reach

    def resize(self, now_ns: int, window_ns: int) -> None:
        """Change the window's length; the newest buckets that fit are kept, unless it is empty by now."""
        if window_ns == self._window_ns:
            return
        old, old_size, empty = self.buckets, self.size, self.is_empty(now_ns)
        self._set_window(window_ns)
        if empty:
            self.first = NEVER
            return
        for number in range(self.last, self.last - min(old_size, self.size), -1):
            self.buckets[number % self.size] = old[number % old_size]
            self.total += old[number % old_size]
        self.first = self.last - (old_size - 1)


class LinearWindow(BucketWindow):
    """The plain average: every bucket weighs the same (Knative's algorithm `linear`, the default)."""

    def average(self, now_ns: int) -> float:
        """The average per bucket, to six decimals; 0 once the newest sample is a window old."""
        # TODO(you): about 10 lines
        raise NotImplementedError("task 5.1")


class WeightedWindow(BucketWindow):
    """The exponentially weighted average: newer buckets weigh more (Knative's `weighted-exponential`).

    The newest second weighs k = `smoothing_coefficient`, each older one (1-k) times as much. The result is
    neither rounded nor normalised: a young window under-reports, its first sample v is answered as k*v.
    """

    __slots__ = ()

    def average(self, now_ns: int) -> float:
        """The weighted average as of `now_ns`; 0 if the window is empty."""
        if self.is_empty(now_ns):
            return 0.0
        size, last = self.size, self.last
        weight = smoothing_coefficient(size)
        decay = 1 - weight
        stale = max(0, now_ns // self.granularity_ns - last)
        if stale:
            weight *= power(decay, stale)
        average = 0.0
        for number in range(last, last - (size - stale), -1):
            average += self.buckets[number % size] * weight
            weight *= decay
        return average


class MaxWindow:
    """The largest value of the last `window_ns`: what scale-down-delay holds on to.

    The grid is absolute, so a window of D keeps a peak between D minus one granularity and D. Values are kept
    in a queue that only ever falls: a value that is not larger than a newer one can never be the maximum
    again. A time before the newest sample counts as that sample's time (a wall clock that steps back crashes
    Knative here).
    """

    def __init__(self, window_ns: int, granularity_ns: int) -> None:
        # TODO(you): about 3 lines
        raise NotImplementedError("task 5.2")

    def record(self, now_ns: int, value: int) -> int:
        """Take in `value` at `now_ns` and answer the maximum of the window."""
        # TODO(you): about 11 lines
        raise NotImplementedError("task 5.2")


def round_half_away(value: float) -> float:
    """Round to six decimals, halves away from zero as Go's math.Round (Python's `round` goes to even)."""
    scaled = value * 1e6
    whole = int(scaled)
    rest = scaled - whole
    if rest >= 0.5:
        whole += 1
    elif rest <= -0.5:
        whole -= 1
    return whole / 1e6


def smoothing_coefficient(size: int) -> float:
    """The weight of the newest of `size` buckets: max(1 - 0.0001^(1/size), 0.2)."""
    return _SMOOTHING[size - 1] if size <= len(_SMOOTHING) else 0.2


def power(base: float, exponent: int) -> float:
    """`base` to a positive whole power, bit by bit as Go's math.Pow: square and multiply on the mantissa."""
    if exponent == 1:
        return base
    mantissa, shift = frexp(base)
    result, result_shift = 1.0, 0
    while exponent:
        if exponent & 1:
            result *= mantissa
            result_shift += shift
        mantissa *= mantissa
        shift *= 2
        if mantissa < 0.5:
            mantissa += mantissa
            shift -= 1
        exponent >>= 1
    return ldexp(result, result_shift)


# Go's answers for 1 to 41 buckets (C's pow differs in the last bit for ten of them); from 42 on it is 0.2.
# fmt: off
_SMOOTHING = (
    0.9999, 0.99, 0.9535841116638721, 0.9, 0.8415106807538886,
    0.7845565309968116, 0.7317304204720274, 0.683772233983162, 0.6406186336195372, 0.6018928294465027,
    0.5671238718916941, 0.535841116638722, 0.507611736829326, 0.4820525320768788, 0.45883047345353634,
    0.4376586748096509, 0.41829086706256413, 0.40051574968105896, 0.3841517889339736, 0.36904265551980675,
    0.3550533228962376, 0.342066775342432, 0.3299812496490411, 0.31870793094203875, 0.3081690290810636,
    0.29829617132961717, 0.28902905676875645, 0.28031432699884795, 0.27210461560168486, 0.2643577455403586,
    0.25703604924050527, 0.2501057906675441, 0.24353667244537114, 0.23730141409765548, 0.231375389960226,
    0.2257363173188729, 0.22036398695947668, 0.21524002964853872, 0.21034771315002732, 0.2056717652757185,
    0.20119821919842973, 0.2, 0.2, 0.2, 0.2,
)
# fmt: on
