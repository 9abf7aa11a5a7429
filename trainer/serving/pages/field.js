/** One scalar input of a model as a labelled field of a form. */

import { element, newId } from "./element.js";
import { around } from "./numbers.js";
import { isFloat } from "./signature.js";

const MOST_OPTIONS = 40; // of a select; longer vocabularies are typed, with suggestions
const MOST_POINTS = 40; // of what is tried of one input
const SHARE = { known: 1 / 4, unknown: 1 / 2 }; // of a number to try above and below it, with and without a default

/**
 * The field of an input. `element` is for the page; `value()` what a request holds, or undefined while there is none;
 * `points()` the values to try of this input, as `{text, value, chosen}`; `isNumber` whether they lie on a line.
 */
export function field(name, info, feature = {}) {
  const of = { name, title: titleOf(name), unit: feature.unit ?? null };
  if (info.dtype === "bool") return words(of, ["false", "true"], (word) => word === "true");
  if (info.dtype === "string") return words(of, feature.vocabulary ?? [], String);
  return number(of, isFloat(info.dtype), feature.default ?? null);
}

/** A name of the API as a title: "mother_age" is "Mother age". */
export function titleOf(name) {
  const text = name.replaceAll("_", " ").trim() || name;
  return text[0].toUpperCase() + text.slice(1);
}

function words(of, vocabulary, toValue) {
  const id = newId("field");
  // A flag is off until one says otherwise.
  const first = ["False", "false"].find((word) => vocabulary.includes(word)) ?? vocabulary[0] ?? "";
  const listed = vocabulary.length > 0 && vocabulary.length <= MOST_OPTIONS;
  const input = listed
    ? element("select", { id }, ...vocabulary.map((word) => element("option", { selected: word === first }, word)))
    : element("input", { id, type: "text", value: first, list: vocabulary.length ? `${id}-words` : null });
  const suggestions = listed || !vocabulary.length
    ? null
    : element("datalist", { id: `${id}-words` }, ...vocabulary.map((word) => element("option", { value: word })));

  function points() {
    const some = vocabulary.slice(0, MOST_POINTS);
    if (vocabulary.length && !some.includes(input.value)) some.unshift(input.value);
    return some.map((word) => ({ text: word, value: toValue(word), chosen: word === input.value }));
  }

  return {
    ...of,
    isNumber: false,
    element: element("div", { class: "field" }, label(id, of), input, suggestions),
    value: () => toValue(input.value),
    points,
  };
}

function number(of, isFraction, fallback) {
  const id = newId("field");
  const whole = !isFraction || Number.isInteger(fallback);
  const first = fallback ?? 1;
  const share = fallback === null ? SHARE.unknown : SHARE.known;
  const usual = around(first, { whole, share });
  const step = Number((usual[1] - usual[0]).toPrecision(12));
  const input = element("input", {
    id, type: "number", step, value: first, inputmode: whole ? "numeric" : "decimal", "aria-describedby": `${id}-note`,
  });
  const slider = element("input", {
    type: "range", min: usual[0], max: usual.at(-1), step, value: first, "aria-label": `${of.title}, slider`,
    on: { input: () => (input.value = slider.value) },
  });
  const note = element("p", { id: `${id}-note`, class: "hint" });
  input.addEventListener("input", () => (slider.value = input.value));

  function check() {
    const isEmpty = input.value === "" && !input.validity.badInput;
    const isNumber = input.value !== "" && (isFraction || Number.isInteger(Number(input.value)));
    const isBad = isEmpty ? fallback === null : !isNumber;
    input.setAttribute("aria-invalid", String(isBad));
    note.textContent = isBad
      ? `Expected a ${isFraction ? "number" : "whole number"}.`
      : isEmpty ? `Missing: the model takes ${fallback}.` : "";
    return { isEmpty, isBad };
  }

  function value() {
    const { isEmpty, isBad } = check();
    if (isBad) return undefined;
    return isEmpty ? "NaN" : Number(input.value); // for NaN the model puts the default
  }

  function points() {
    const { isEmpty, isBad } = check();
    if (isBad) return [];
    const now = isEmpty ? fallback : Number(input.value);
    const within = fallback !== null && now >= usual[0] && now <= usual.at(-1);
    const values = new Set([...(within ? usual : around(now, { whole, share })), now]);
    return [...values].sort((a, b) => a - b).map((at) => ({ text: String(at), value: at, chosen: at === now }));
  }

  const unit = of.unit ? element("span", { class: "unit", "aria-hidden": "true" }, of.unit) : null;
  const line = element("div", { class: "measured" }, input, unit);
  return {
    ...of,
    isNumber: true,
    element: element("div", { class: "field" }, label(id, of), line, fallback === null ? null : slider, note),
    value,
    points,
  };
}

function label(id, { name, title, unit }) {
  const spoken = unit ? element("span", { class: "unseen" }, `, ${unit}`) : null;
  return element("label", { for: id, title: name }, title, spoken);
}
