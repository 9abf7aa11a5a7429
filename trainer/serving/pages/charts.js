/** Charts whose every value is also text. Pictures are hidden from screen readers, the tables beside them are not. */

import { element, svg } from "./element.js";
import { dataOf, difference, ticks } from "./numbers.js";

const WIDTH = 320;
const HEIGHT = 132;
const LEFT = 38;
const RIGHT = 10;
const TOP = 8;
const BOTTOM = 22;

/** A table with a bar a row, `{name, number, strong}`; the longest possible bar is `most`. */
export function bars(title, rows, { most, format: write }) {
  return element(
    "table",
    { class: "bars" },
    element("caption", {}, title),
    element("tbody", {}, ...rows.map(({ name, number, strong }) => {
      const share = number === null || !(most > 0) ? 0 : Math.min(1, Math.max(0, number / most));
      const bar = svg("rect", { class: "bar", width: 100 * share, height: 8 });
      return element(
        "tr",
        { class: strong ? "strong" : null },
        element("th", { scope: "row" }, name),
        element("td", { "aria-hidden": "true" }, track([bar], 8)),
        element("td", { class: "value" }, number === null ? "–" : dataOf(number, write(number))),
      );
    })),
  );
}

/**
 * The rows of a table with a line a word from the present prediction to that of the word, `{text, number, chosen}`, on
 * the scale `[low, high]`.
 */
export function wordRows(points, { now, low, high, write }) {
  const x = (number) => 3 + (94 * (number - low)) / (high - low);
  return points.map((point) => {
    const marks = [svg("line", { class: "now", x1: x(now), x2: x(now), y1: 0, y2: 16 })];
    if (Number.isFinite(point.number)) {
      marks.push(svg("line", { class: "stem", x1: x(now), x2: x(point.number), y1: 8, y2: 8 }));
      marks.push(dot(x(point.number), 8, point.chosen));
    }
    return row(point, { now, write }, element("td", { "aria-hidden": "true" }, track(marks, 16)));
  });
}

/** The rows of a table of numbers without a picture. */
export function numberRows(points, { now, write }) {
  return points.map((point) => row(point, { now, write }));
}

/** A row of a value that an input may have: the prediction, and how far that is from the present one. */
function row({ text, number, chosen }, { now, write }, ...picture) {
  return element(
    "tr",
    { class: chosen ? "strong" : null },
    element("th", { scope: "row" }, text),
    ...picture,
    element("td", { class: "value" }, dataOf(number, write(number))),
    element("td", { class: "difference" }, chosen ? "now" : difference(number, now)),
  );
}

/** A line through `{value, number, chosen}` on the vertical scale `[low, high]`; hovering a point tells its numbers. */
export function curve(points, { low, high, write, writeTick }) {
  const [first, last] = [points[0].value, points.at(-1).value];
  const x = (value) => LEFT + ((WIDTH - LEFT - RIGHT) * (value - first)) / (last - first || 1);
  const y = (number) => TOP + ((HEIGHT - TOP - BOTTOM) * (high - number)) / (high - low);
  const finite = points.filter(({ number }) => Number.isFinite(number));
  const chosen = finite.find((point) => point.chosen);
  const width = (WIDTH - LEFT - RIGHT) / points.length;
  const grid = ticks(low, high, 4).flatMap((tick) => [
    svg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(tick), y2: y(tick) }),
    svg("text", { x: LEFT - 6, y: y(tick) + 4, "text-anchor": "end" }, writeTick(tick)),
  ]);
  const at = (value, anchor, name) =>
    svg("text", { class: name, x: x(value), y: HEIGHT - 5, "text-anchor": anchor }, String(value));
  const isNearEnd = chosen && Math.min(x(chosen.value) - LEFT, WIDTH - RIGHT - x(chosen.value)) < 34;
  return svg(
    "svg",
    { class: "curve", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true", focusable: "false" },
    ...grid,
    at(first, "start", first === chosen?.value ? "chosen" : null),
    at(last, "end", last === chosen?.value ? "chosen" : null),
    chosen && !isNearEnd ? at(chosen.value, "middle", "chosen") : "",
    chosen ? svg("line", { class: "now", x1: x(chosen.value), x2: x(chosen.value), y1: TOP, y2: HEIGHT - BOTTOM }) : "",
    svg("polyline", { class: "line", points: finite.map((point) => `${x(point.value)},${y(point.number)}`).join(" ") }),
    chosen ? dot(x(chosen.value), y(chosen.number), true) : "",
    ...finite.map(({ value, number }) =>
      svg(
        "rect",
        { class: "hit", x: x(value) - width / 2, y: TOP, width, height: HEIGHT - TOP - BOTTOM },
        svg("title", {}, `${value}: ${write(number)}`),
      )),
  );
}

function dot(x, y, chosen) {
  // A line without a length and with round ends: it stays a circle where the picture is stretched.
  return svg("line", { class: chosen ? "dot chosen" : "dot", x1: x, x2: x, y1: y, y2: y });
}

function track(marks, height) {
  const box = { viewBox: `0 0 100 ${height}`, preserveAspectRatio: "none" };
  return svg("svg", { class: "track", ...box, focusable: "false" }, ...marks);
}
