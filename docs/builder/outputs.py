"""Whether a command printed what the page says, but for what differs each time.

    difference(expected, actual)        # None, or how they differ
    refreshed(expected, actual)         # the lines for the page, with `...` where it was
    difference(expected, actual, aligned_by_words)    # whatever the numbers

Times, speeds, ports and ids count as equal; numbers with a decimal point when they are within a twentieth, since the
last digits are the machine's; all other words and numbers have to be the same. A line that is `...` stands for any
lines, `...` within a line for any text. The progress bar of a terminal is left out.
"""

import difflib
import functools
import math
import re
import sys
from collections.abc import Callable, Sequence


MASKS = tuple(
    (re.compile(pattern), mask)
    for pattern, mask in (
        (r"\x1b\[[0-9;?]*[A-Za-z]", ""),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z?", "<time>"),
        (r"\d{4}_\d\d_\d\d_\d\d_\d\d_\d\d/[\w.-]+?\.xplane", "<time>/<host>.xplane"),
        (r"\b\d\d:\d\d:\d\d\b", "<time>"),
        (r"\b1[6-9]\d{8}(\.\d+)?\b", "<time>"),
        (r"(?<![\d.])\d{16,}\b", "<id>"),
        (r"\b[0-9a-f]{64}\b", "<sha256>"),
        (r"[\d,.]+ (examples|rows|requests)/s", r"<speed> \1/s"),
        (r'("(?:examples|rows)_per_second"): [\d.]+', r"\1: <speed>"),
        (r"\b(127\.0\.0\.1|localhost):(?!8501|8600)\d+", r"\1:<port>"),
        (r"\b[\d.,]+ (s|ms|min|seconds)\b", r"<duration> \1"),
        (r"(gs:// operations) .*", r"\1 <counts>"),
        (r"[ ─━]{2,}", " "),
    )
)
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?(?![\w])")
BAR = re.compile(r"^(step \d+/\d+|[\d,]+ rows) [━╸╺]+ ")
ELLIPSIS = "..."
Lines = Sequence[str]
Places = list[int | None]
Agree = Callable[[str, str], bool]
Align = Callable[[Lines, Lines], Places | None]


def shown(text: str) -> list[str]:
    """The lines of what a terminal was sent, as a page has them."""
    lines = [line.rsplit("\r", 1)[-1].expandtabs().rstrip() for line in text.replace("\r\n", "\n").split("\n")]
    kept: list[str] = []
    after_bar = False
    for line in lines:
        if BAR.match(line):
            after_bar = True
        elif not (after_bar and not line):
            kept.append(line)
            after_bar = False
    while kept and not kept[-1]:
        kept.pop()
    while kept and not kept[0]:
        kept.pop(0)
    return kept


def difference(expected: Lines, actual: Lines, align: "Align | None" = None) -> str | None:
    """None where the lines agree, by `aligned` unless another is given, else a diff of them."""
    if (align or aligned)(expected, actual) is not None:
        return None
    masked = [[masked_line(line) for line in lines] for lines in (expected, actual)]
    return "\n".join(difflib.unified_diff(*masked, "on the page", "printed", lineterm="", n=2))


def refreshed(expected: Lines, actual: Lines, align: "Align | None" = None) -> list[str]:
    """What the page is to say: with the same lines left out where the rest agrees, else all that was printed."""
    places = (align or aligned)(expected, actual)
    if places is None:
        return list(actual)
    kept = zip(expected, places, strict=True)
    return [line if place is None or ELLIPSIS in line else actual[place] for line, place in kept]


def aligned(expected: Lines, actual: Lines, agree: Agree | None = None) -> Places | None:
    """Which printed line each line of the page is, None for `...`; None in all where they do not agree."""
    agree = agree or same

    @functools.cache
    def rest(i: int, j: int) -> tuple[int | None, ...] | None:
        if i == len(expected):
            return () if j == len(actual) else None
        if expected[i].strip() == ELLIPSIS:
            for k in range(j, len(actual) + 1):
                found = rest(i + 1, k)
                if found is not None:
                    return (None, *found)
            return None
        if j < len(actual) and agree(expected[i], actual[j]):
            found = rest(i + 1, j + 1)
            return None if found is None else (j, *found)
        return None

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(limit + 4 * (len(expected) + len(actual)))
    try:
        found = rest(0, 0)
    finally:
        sys.setrecursionlimit(limit)
    return None if found is None else list(found)


def aligned_by_words(expected: Lines, actual: Lines) -> Places | None:
    """The same, whatever the numbers."""
    return aligned(expected, actual, same_words)


def aligned_in_any_order(expected: Lines, actual: Lines) -> Places | None:
    """The same, for lines of several processes; with a `...` anywhere there may be others."""
    left = list(range(len(actual)))
    places: Places = []
    for line in expected:
        if line.strip() == ELLIPSIS:
            places.append(None)
            continue
        found = next((j for j in left if same(line, actual[j])), None)
        if found is None:
            return None
        left.remove(found)
        places.append(found)
    return places if None in places or not left else None


def same(expected: str, actual: str) -> bool:
    """Whether two lines agree."""
    if ELLIPSIS in expected and ELLIPSIS not in actual:
        head, _, tail = (masked_line(part) for part in expected.partition(ELLIPSIS))
        line = masked_line(actual)
        return _equal(head, line[: len(head)]) and (not tail or line.endswith(tail))
    return _equal(masked_line(expected), masked_line(actual))


def same_words(expected: str, actual: str) -> bool:
    """Whether two lines agree but for their numbers."""
    return same(NUMBER.sub("0", masked_line(expected)), NUMBER.sub("0", masked_line(actual)))


def masked_line(line: str) -> str:
    """The line without what differs each time."""
    for pattern, mask in MASKS:
        line = pattern.sub(mask, line)
    return line.strip()


def _equal(expected: str, actual: str) -> bool:
    if NUMBER.split(expected) != NUMBER.split(actual):
        return False
    pairs = zip(NUMBER.findall(expected), NUMBER.findall(actual), strict=True)
    return all(_near(a, b) for a, b in pairs)


def _near(expected: str, actual: str) -> bool:
    """Whole numbers are the same, others within a twentieth."""
    if expected == actual:
        return True
    if not any(mark in text for text in (expected, actual) for mark in ".,e"):
        return False
    return math.isclose(float(expected.replace(",", "")), float(actual.replace(",", "")), rel_tol=0.05, abs_tol=0.02)
