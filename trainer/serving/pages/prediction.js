/** The prediction in large, and what went wrong where there is none. */

import { bars } from "./charts.js";
import { element } from "./element.js";
import { titleOf } from "./field.js";
import { areShares, measureOf, partsOf } from "./measure.js";
import { dataOf, format, inOtherUnit, percent, toNumber } from "./numbers.js";

const MOST_BARS = 50;

/**
 * The card of a model's prediction. `show(prediction)` puts it there, `fail(error)` says why there is none and keeps
 * the one before, dimmed; `warn(error)` says what failed besides; `wait()` dims it while the inputs make no request;
 * `clear(text)` says what to do first.
 */
export function answer(model, { retry }) {
  const live = element("div", { class: "live", "aria-live": "polite", "aria-atomic": "true" });
  const more = element("div", { class: "more" });
  const problem = failure({ retry });
  const card = element(
    "section", { class: "card answer", "aria-label": "Prediction" },
    element("h2", {}, "Prediction"), live, more, problem.element,
  );

  function put(state, headline, details) {
    card.dataset.state = state;
    problem.clear();
    live.replaceChildren(...headline);
    more.replaceChildren(...details);
  }

  return {
    element: card,
    show: (prediction) => put("shown", headlineOf(model, prediction), detailsOf(model, prediction)),
    clear: (text, details = []) => put("empty", [element("p", { class: "hint" }, text)], details),
    wait() {
      card.dataset.state = "old";
      problem.clear();
    },
    warn: (error) => problem.show(error),
    fail(error) {
      card.dataset.state = "old";
      problem.show(error);
    },
  };
}

/** An alert that says what failed, that nothing typed is lost, and offers to try again. */
export function failure({ retry }) {
  const text = element("p");
  const again = element("button", { type: "button", on: { click: () => retry() } }, "Try again");
  const alert = element("div", { class: "failure", role: "alert" });
  return {
    element: alert,
    show(error) {
      text.textContent = error.message;
      alert.replaceChildren(text, again);
    },
    clear: () => alert.replaceChildren(),
  };
}

function headlineOf(model, prediction) {
  const { kind, value } = partsOf(model, prediction)[0] ?? { kind: "other" };
  if (kind === "number") {
    const { title, unit, of } = measureOf(model, prediction);
    const number = of(prediction);
    const other = inOtherUnit(number, unit);
    return [
      element("p", { class: "caption" }, title),
      element("p", { class: "headline" }, dataOf(number), unit ? element("span", { class: "unit" }, ` ${unit}`) : ""),
      other ? element("p", { class: "secondary" }, dataOf(other.number), ` ${other.unit}`) : "",
    ];
  }
  if (kind !== "word") return [];
  const { key } = partsOf(model, prediction)[0];
  const lists = partsOf(model, prediction).filter((part) => part.kind === "numbers");
  const shares = lists.find((list) => areShares(list.value.map(toNumber)));
  return [
    element("p", { class: "caption" }, titleOf(key)),
    element("p", { class: "headline" }, element("data", { value }, String(value))),
    shares ? element("p", { class: "secondary" }, percent(Math.max(...shares.value)), " probability") : "",
  ];
}

function detailsOf(model, prediction) {
  const parts = partsOf(model, prediction);
  const others = parts[0]?.kind === "number" || parts[0]?.kind === "word" ? parts.slice(1) : parts;
  return others.map(({ key, kind, value }) => {
    if (kind === "numbers" && value.length <= MOST_BARS) return barsOf(titleOf(key), value.map(toNumber));
    const shown = kind === "number" ? dataOf(toNumber(value)) : kind === "word" ? String(value) : JSON.stringify(value);
    return element("p", { class: "part" }, element("span", { class: "caption" }, titleOf(key)), " ", shown);
  });
}

/** A bar for each number of a list, by its position. */
function barsOf(title, numbers) {
  const shares = areShares(numbers);
  const highest = Math.max(...numbers);
  const rows = numbers.map((number, i) => ({ name: String(i), number, strong: number === highest }));
  return bars(title, rows, { most: shares ? 1 : highest, format: shares ? percent : format });
}
