"""Figures of matplotlib as SVG that is a part of a page: its text is the page's, and so are its colours.

    with drawing.figure() as (figure, axes):
        axes.plot(steps, values, color=drawing.SERIES[0])
        svg = drawing.svg(figure, "rmse-by-step")       # ids begin with the name, so that no two on a page are the same

The same data gives the same bytes. A colour stands for a variable of the page's CSS, which in the dark is another one.
"""

import contextlib
import io
import re
from collections.abc import Iterator
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure


INK, SOFT, RULE, CARD = "#010101", "#020202", "#030303", "#040404"
SERIES = ("#050501", "#050502")
VARIABLES = {
    INK: "--ink",
    SOFT: "--soft",
    RULE: "--rule",
    CARD: "--card",
    **{color: f"--series-{number}" for number, color in enumerate(SERIES, start=1)},
}
"""What each colour is on the page."""

WIDTH, HEIGHT = 4.0, 2.6  # inches of 72 units; a page shows them at its own size
SETTINGS: Any = {  # whose type changes with the versions of matplotlib
    "svg.fonttype": "none",
    "svg.hashsalt": "trainer",
    "font.size": 9.0,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": SOFT,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "text.color": INK,
    "text.parse_math": False,  # names are anyone's, and a dollar in one is no formula
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
    "legend.borderaxespad": 0,
    "legend.columnspacing": 1.0,
    "legend.handletextpad": 0.5,
    "legend.labelcolor": SOFT,
    "axes.titlesize": 9.0,
    "axes.titlepad": 4,
    "path.simplify": False,  # what is drawn is decimated already, by a rule that keeps the extremes
}


@contextlib.contextmanager
def figure() -> Iterator[tuple[Figure, Axes]]:
    """An empty figure with one pair of axes; it has our settings within the block."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a user's own settings draw no report
        matplotlib.rcParams.update(SETTINGS)
        made = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
        made.patch.set_visible(False)
        axes = made.add_subplot()
        axes.patch.set_visible(False)
        yield made, axes


def legend(axes: Axes) -> None:
    """The names of what is drawn, above it, as wide as the figure."""
    handles, labels = axes.get_legend_handles_labels()
    axes.set_title(" ")  # the room for it
    found = axes.figure.legend(handles, labels, loc="upper left", bbox_to_anchor=(0, 1.01), ncols=4)
    found.set_in_layout(False)


def svg(drawn: Figure, name: str) -> str:
    """The `<svg>` element, without a size or a title: the page says both."""
    text = io.StringIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    drawn.savefig(text, format="svg", metadata=nothing)
    return _inline(text.getvalue(), name)


def _inline(text: str, name: str) -> str:
    text = text[text.index("<svg") :]
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", text, flags=re.S)  # it would be the whole page's
    used = set(re.findall(r'(?:href="|url\()#([\w-]+)', text))
    text = re.sub(r"<[^>]*>", lambda tag: _tag(tag[0], name, used), text)  # not what is between: words, and numbers
    return re.sub(r">\s+<", "><", text).strip()


def _tag(tag: str, name: str, used: set[str]) -> str:
    if tag.startswith("<svg"):
        box = re.search(r'viewBox="[^"]*"', tag)
        assert box
        return f'<svg {box[0]} aria-hidden="true" focusable="false">'
    tag = tag.replace("xlink:href", "href")
    tag = re.sub(r' id="([\w.-]+)"', lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "", tag)
    tag = re.sub(r'((?:href="|url\()#)', rf"\g<1>{name}-", tag)
    tag = re.sub(r" ?font-family: [^;\"]*;?", "", tag)
    tag = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", tag)
    for color, variable in VARIABLES.items():
        tag = tag.replace(color, f"var({variable})")
    tag = re.sub(r"(\.\d\d)\d+", r"\1", tag)  # a hundredth of a unit is beyond what a screen shows
    return re.sub(r"\s+", " ", tag)
