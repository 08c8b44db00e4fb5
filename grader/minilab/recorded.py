"""What Knative's own code answered, for the judge's side of the checks; see the vectors' README."""

import gzip
import json
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any  # a case is one line of a vector file: parsed JSON of many shapes

from minilab.labs import ROOT

VECTORS = ROOT / "reference_impl" / "tests" / "data" / "vectors"


@cache
def _all(name: str) -> list[dict[str, Any]]:
    with gzip.open(VECTORS / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return list(map(json.loads, lines))


def cases(name: str, wanted: Callable[[dict[str, Any]], bool]) -> Iterator[dict[str, Any]]:
    """The recorded cases of a file, as `scale`, that are `wanted`, in their order."""
    return filter(wanted, _all(name))
