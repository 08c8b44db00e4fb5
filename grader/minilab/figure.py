"""The map of the platform, with one lab's box lit: the same picture in every chapter."""

from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT, BOX_WIDTH, BOX_HEIGHT = 760, 300, 120, 46
LIT, PLAIN, INK = "#ffd54d", "#f3f4f6", "#1f2937"


@dataclass(frozen=True, slots=True)
class Box:
    """A room: its name, what it does, its place, and the lab that builds it."""

    name: str
    does: str
    x: int
    y: int
    lab: int


BOXES = (
    Box("gateway", "accepts, forwards", 150, 40, -1),
    Box("traffic", "which revision?", 150, 120, 3),
    Box("concurrency", "how many at once?", 320, 40, 4),
    Box("activation", "holds, wakes", 320, 120, 6),
    Box("runtime", "starts, ends", 620, 40, 1),
    Box("autoscaling", "how many pods?", 470, 130, 5),
    Box("control", "makes it so", 620, 220, 2),
    Box("store", "what is declared", 320, 220, -1),
)
CLIENT = Box("client", "", 10, 40, -1)
ARROWS = (
    ("client", "gateway"),
    ("gateway", "traffic"),
    ("gateway", "concurrency"),
    ("traffic", "activation"),
    ("activation", "concurrency"),
    ("concurrency", "runtime"),
    ("concurrency", "autoscaling"),
    ("autoscaling", "control"),
    ("store", "control"),
    ("control", "runtime"),
)


def figure(lab: int) -> str:
    """The map as SVG, the box of `lab` lit; lab 0 lights them all."""
    boxes = {box.name: box for box in (CLIENT, *BOXES)}
    drawn = [_arrow(boxes[start], boxes[end]) for start, end in ARROWS]
    drawn += [_box(box, lit=box is not CLIENT and lab in (0, box.lab)) for box in boxes.values()]
    marker = (
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto">'
        f'<path d="M0 0 L8 4 L0 8 z" fill="{INK}"/></marker></defs>'
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">'
    return "\n".join([head, marker, *drawn, "</svg>", ""])


def _box(box: Box, lit: bool) -> str:
    def line(text: str, size: int, below: int) -> str:
        place = f'x="{box.x + BOX_WIDTH // 2}" y="{box.y + below}"'
        return f'<text {place} text-anchor="middle" font-size="{size}" fill="{INK}">{escape(text)}</text>'

    frame = (
        f'<rect x="{box.x}" y="{box.y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="8" '
        f'fill="{LIT if lit else PLAIN}" stroke="{INK}" stroke-width="{2 if lit else 1}"/>'
    )
    return "\n".join([frame, line(box.name, 14, 20 if box.does else 28), line(box.does, 11, 37)])


def _arrow(start: Box, end: Box) -> str:
    def edge(box: Box, other: Box) -> tuple[int, int]:
        x, y = box.x + BOX_WIDTH // 2, box.y + BOX_HEIGHT // 2
        other_x, other_y = other.x + BOX_WIDTH // 2, other.y + BOX_HEIGHT // 2
        dx, dy = other_x - x, other_y - y
        scale = min(
            BOX_WIDTH / 2 / abs(dx) if dx else float("inf"), BOX_HEIGHT / 2 / abs(dy) if dy else float("inf")
        )
        return round(x + dx * scale), round(y + dy * scale)

    (x1, y1), (x2, y2) = edge(start, end), edge(end, start)
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{INK}" marker-end="url(#tip)"/>'
