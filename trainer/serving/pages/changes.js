/** How the prediction changes as one input varies and the others stay. */

import { curve, numberRows, wordRows } from "./charts.js";
import { element, newId } from "./element.js";
import { measureOf } from "./measure.js";
import { format, percent } from "./numbers.js";

/**
 * The section of the charts. `variations(instance)` gives the instances to predict, all in one list, and remembers
 * them; `show(prediction, predictions)` draws their answers; `wait()` dims what is drawn.
 */
export function changes(model, fields) {
  const summary = element("p", { class: "hint" });
  const panels = fields.filter((field) => field.points().length > 1).map(panel);
  const same = element("input", { type: "checkbox", id: newId("same"), checked: true, on: { change: draw } });
  const section = element(
    "section",
    { class: "changes", hidden: true },
    element("h2", {}, "How it changes with each input"),
    summary,
    element("p", { class: "check" }, same, element("label", { for: same.id }, "Same scale in all charts")),
    element("div", { class: "columns" }, ...panels.map((one) => one.element)),
  );
  let asked = [];
  let drawn = null; // the last prediction and those of the variations

  function variations(instance) {
    asked = panels.map(({ field }) => field.points());
    return panels.flatMap(({ field }, i) => asked[i].map(({ value }) => ({ ...instance, [field.name]: value })));
  }

  function show(prediction, predictions) {
    drawn = { prediction, predictions, asked };
    section.classList.remove("old");
    draw();
  }

  function draw() {
    const { prediction, predictions } = drawn;
    const measure = measureOf(model, prediction);
    section.hidden = measure === null || predictions.length === 0;
    if (section.hidden) return;
    const numbers = predictions.map(measure.of);
    const now = measure.of(prediction);
    const unit = measure.unit ? ` ${measure.unit}` : "";
    const write = measure.isShare ? percent : format;
    const writeTick = measure.isShare ? (tick) => `${Number((100 * tick).toPrecision(6))}%` : String;
    const subject = `${measure.title}${unit && `, in${unit}`}`;
    summary.textContent = `${subject}, as one input varies and the others stay as they are.`;
    let start = 0;
    panels.forEach((one, i) => {
      const points = drawn.asked[i].map((point, j) => ({ ...point, number: numbers[start + j] }));
      start += points.length;
      const scale = scaleOf(same.checked ? [now, ...numbers] : [now, ...points.map(({ number }) => number)]);
      one.show(points, { now, unit, write, writeTick, ...scale });
    });
  }

  return { element: section, variations, show, wait: () => section.classList.add("old") };
}

/** The chart of one input. */
function panel(field) {
  const range = element("p", { class: "range" });
  const picture = element("div");
  const body = element("tbody");
  const heading = element(
    "tr",
    { class: "unseen" },
    element("th", { scope: "col" }, field.unit ? `${field.title}, ${field.unit}` : field.title),
    field.isNumber ? null : element("td"), // of the pictures
    element("th", { scope: "col" }, "Prediction"),
    element("th", { scope: "col" }, "Difference"),
  );
  const table = element("table", { class: field.isNumber ? "numbers" : "words" }, element("thead", {}, heading), body);
  const rows = field.isNumber ? numberRows : wordRows;
  return {
    field,
    element: element(
      "section",
      { class: "card panel", "data-input": field.name },
      element("h3", {}, field.title, field.unit ? element("span", { class: "unit" }, `, ${field.unit}`) : ""),
      range,
      picture,
      field.isNumber ? element("details", {}, element("summary", {}, "Values"), table) : table,
    ),
    show(points, how) {
      const finite = points.map(({ number }) => number).filter(Number.isFinite);
      const ends = [Math.min(...finite), Math.max(...finite)].map(how.write);
      range.textContent = finite.length ? `${ends.join(" to ")}${how.unit}` : "";
      if (field.isNumber && points.length) picture.replaceChildren(curve(points, how));
      body.replaceChildren(...rows(points, how));
    },
  };
}

/** The ends of a scale that has all of the numbers, with a little room. */
function scaleOf(numbers) {
  const finite = numbers.filter(Number.isFinite);
  const low = Math.min(...finite);
  const high = Math.max(...finite);
  const room = (high - low) * 0.06 || Math.abs(low) * 0.05 || 1;
  return finite.length ? { low: low - room, high: high + room } : { low: 0, high: 1 };
}
