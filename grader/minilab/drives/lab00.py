"""Lab 00: what a learner wrote into `answers.toml`."""

import tomllib
from typing import Any  # cases are JSON of many shapes

from minirun.overlay import folders


def answer(case: dict[str, Any]) -> str:
    """The answer to one question: {task, key}; a missing or empty one is a task that is not written yet."""
    path = next((each / "answers.toml" for each in folders() if (each / "answers.toml").is_file()), None)
    answers = tomllib.loads(path.read_text(encoding="utf-8")) if path else {}
    text = str(answers.get(case["key"], "")).strip()
    if not text:
        raise NotImplementedError(f"task {case['task']}")
    return text
