"""References to variables in texts: `$(NAME)`, as Kubernetes puts values into env, command and args.

Counterpart: third_party/forked/golang/expansion in k8s.io/kubernetes. Pure.
"""

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")


def expand(text: str, values: Mapping[str, str]) -> str:
    """`text` with each `$(NAME)` replaced by its value.

    A name without a value stays as it is written, and `$$` is a single `$`, so that `$$(NAME)` gives
    `$(NAME)`. What was put in is not looked at again.
    """
    return _REFERENCE.sub(lambda found: values.get(found[1], found[0]) if found[1] is not None else "$", text)
