"""Prints how many lines each room has, and how much of the budget that is.

Data is not counted: the samples, and the modules that only hold schemas and tables.
"""

from pathlib import Path

ROOT = Path(__file__).parent.parent / "reference_impl" / "minirun"
WORKSHOP = Path(__file__).parent.parent / "grader" / "minilab"
WEEKEND = (
    "model",
    "store",
    "control",
    "traffic",
    "concurrency",
    "autoscaling",
    "activation",
    "gateway",
    "scheduling",
    "platform",
)
BUDGETS = {"the weekend path": 6_000, "all of minirun": 13_000}
DATA = ("samples", "__pycache__", "resources.py", "profiles.py", "labels.py")


def lines(path: Path) -> int:
    files = [path] if path.is_file() else path.rglob("*.py")
    return sum(len(file.read_text().splitlines()) for file in files if file.name not in DATA)


def main() -> None:
    rooms = {
        place.stem: lines(place)
        for place in sorted(ROOT.iterdir())
        if place.suffix == ".py" or (place.is_dir() and place.name not in DATA)
    }
    process = lines(ROOT / "runtime") - lines(ROOT / "runtime" / "virtual.py")
    weekend = sum(rooms.get(room, 0) for room in WEEKEND) + process
    print("lines: " + ", ".join(f"{room} {count}" for room, count in rooms.items()))
    for name, count in (("the weekend path", weekend), ("all of minirun", sum(rooms.values()))):
        print(f"{name}: {count} of {BUDGETS[name]} lines")
    drives = lines(WORKSHOP / "drives")
    print(f"the workshop's tool: {lines(WORKSHOP) - drives} lines, and {drives} that drive the labs' parts")


if __name__ == "__main__":
    main()
