"""The parts of the package and what they import, as an SVG that is drawn from the code.

    svg = diagram.svg(LAYERS, arrows())     # of tests/test_imports.py

An arrow is drawn where one part imports another, unless other arrows lead there already.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape


Arrow = tuple[str, str]
Layers = Sequence[Sequence[str]]

WIDTH, BOX_HEIGHT, ROW = 820, 30, 92
CHARACTER, PADDING = 7.9, 8
STYLE = """
.parts text { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; text-anchor: middle; }
.parts text { fill: var(--color-foreground-primary, #111); }
.parts rect { fill: var(--color-background-secondary, #f4f4f6); stroke: var(--color-foreground-border, #878787); }
.parts path { fill: none; stroke: var(--color-foreground-muted, #777); stroke-width: 1.2; opacity: .8; }
.parts marker path { fill: var(--color-foreground-muted, #777); opacity: 1; }
"""


@dataclass(frozen=True)
class Box:
    """Where a part is drawn: its middle, and half its width."""

    x: float
    y: float
    half: float


def part(module: str) -> str:
    """The part that a module belongs to: `trainer.inputs.spec` -> `inputs`."""
    return module.split(".")[1]


def between_parts(imports: Mapping[str, Collection[str]]) -> set[Arrow]:
    """Which part imports which other."""
    pairs = {(a, b) for a, others in imports.items() for b in others if "." in a and "." in b}
    return {(part(a), part(b)) for a, b in pairs if part(a) != part(b)}


def reachable(arrows: Collection[Arrow]) -> set[Arrow]:
    """Every pair of parts that arrows lead from and to."""
    onward: dict[str, set[str]] = {}
    for a, b in arrows:
        onward.setdefault(a, set()).add(b)
    found: set[Arrow] = set()
    for start in onward:
        left = list(onward[start])
        while left:
            name = left.pop()
            if (start, name) not in found:
                found.add((start, name))
                left += onward.get(name, ())
    return found


def drawn(layers: Layers, arrows: Collection[Arrow]) -> list[Arrow]:
    """The arrows that the others do not already lead along, the longest left out first."""
    depth = {name: i for i, names in enumerate(layers) for name in names}
    kept = sorted(arrows, key=lambda arrow: (depth[arrow[0]] - depth[arrow[1]], arrow))
    for arrow in list(kept):
        without = [other for other in kept if other != arrow]
        if arrow in reachable(without):
            kept = without
    return kept


def placed(layers: Layers, arrows: Collection[Arrow]) -> dict[str, Box]:
    """A box for each part, those that belong together above one another."""
    rows = [list(names) for names in layers]
    place = {name: (i + 0.5) / len(row) for row in rows for i, name in enumerate(row)}
    for _ in range(12):
        for row in rows:
            near = {name: [place[b if a == name else a] for a, b in arrows if name in (a, b)] for name in row}
            row.sort(key=lambda name: sum(near[name]) / len(near[name]) if near[name] else place[name])
            place |= {name: (i + 0.5) / len(row) for i, name in enumerate(row)}
    boxes: dict[str, Box] = {}
    for depth, row in enumerate(rows):
        halves = [(len(name) * CHARACTER) / 2 + PADDING for name in row]
        space = (WIDTH - 2 * sum(halves)) / len(row)
        x = space / 2
        for name, half in zip(row, halves, strict=True):
            boxes[name] = Box(x + half, 20 + depth * ROW + BOX_HEIGHT / 2, half)
            x += 2 * half + space
    return boxes


def svg(layers: Layers, imports: Mapping[str, Collection[str]]) -> str:
    """The picture; its colours are those of the page."""
    present = {part(module) for module in imports if "." in module}
    layers = [[name for name in names if name in present] for names in layers]
    known = {name for names in layers for name in names}
    arrows = drawn(layers, {arrow for arrow in between_parts(imports) if known.issuperset(arrow)})
    boxes = placed(layers, arrows)
    height = 40 + (len(layers) - 1) * ROW + BOX_HEIGHT
    body = "\n".join([*_paths(arrows, boxes), *_boxes(boxes)])
    return (
        f'<svg class="parts" viewBox="0 0 {WIDTH} {height}" role="img" xmlns="http://www.w3.org/2000/svg" '
        f'aria-label="The parts of the package and what they import">\n<style>{STYLE}</style>\n'
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0,0 L8,4 L0,8 z"/></marker></defs>\n{body}\n</svg>\n'
    )


def _paths(arrows: Collection[Arrow], boxes: Mapping[str, Box]) -> Iterator[str]:
    for name, other in arrows:
        a, b = boxes[name], boxes[other]
        top, bottom = a.y + BOX_HEIGHT / 2, b.y - BOX_HEIGHT / 2
        if a.y == b.y:  # within a layer: an arc below it
            low, end = top + 28, b.y + BOX_HEIGHT / 2 + 2
            curve = f"M{a.x:.0f},{top:.0f} C{a.x:.0f},{low:.0f} {b.x:.0f},{low:.0f} {b.x:.0f},{end:.0f}"
        else:
            bend = min(46, (bottom - top) / 2)
            curve = (
                f"M{a.x:.0f},{top:.0f} C{a.x:.0f},{top + bend:.0f} {b.x:.0f},{bottom - bend:.0f} {b.x:.0f},{bottom:.0f}"
            )
        yield (
            f'<path d="{curve}" marker-end="url(#head)"><title>{escape(name)} imports {escape(other)}</title></path>'
        )


def _boxes(boxes: Mapping[str, Box]) -> Iterator[str]:
    for name, box in boxes.items():
        yield (
            f'<rect x="{box.x - box.half:.0f}" y="{box.y - BOX_HEIGHT / 2:.0f}" width="{2 * box.half:.0f}" '
            f'height="{BOX_HEIGHT}" rx="5"/><text x="{box.x:.0f}" y="{box.y + 4:.0f}">{escape(name)}</text>'
        )
