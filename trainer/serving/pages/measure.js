/** Which number of a prediction is followed as the inputs change, and what the parts of a prediction are. */

import { titleOf } from "./field.js";
import { toNumber } from "./numbers.js";
import { defaultSignature, isFloat } from "./signature.js";

/**
 * The parts of a prediction in the order to show them: `{key, kind, value}` with the kind "number" (a quantity), "word"
 * (a class, by name or number), "numbers" (a list of them) or "other".
 */
export function partsOf(model, prediction) {
  const { inputs, outputs } = defaultSignature(model);
  const parts = Object.entries(prediction)
    .filter(([key]) => !(key in inputs)) // a key that was only passed on
    .map(([key, given]) => {
      const value = Array.isArray(given) && given.length === 1 ? given[0] : given;
      return { key, value, kind: kindOf(value, isFloat(outputs[key]?.dtype ?? "")) };
    });
  const order = ["number", "word", "numbers", "other"];
  return parts.sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind));
}

function kindOf(value, isQuantity) {
  if (Array.isArray(value)) return isQuantity && value.every((item) => !Array.isArray(item)) ? "numbers" : "other";
  if (value !== null && typeof value === "object") return "other";
  return isQuantity ? "number" : "word";
}

/**
 * What is followed: the quantity that a prediction is, or the highest of its numbers, such as a probability, and
 * whether that is a share of one. `of` takes it from any prediction. Null where there is none.
 */
export function measureOf(model, prediction) {
  const parts = partsOf(model, prediction);
  const quantities = parts.filter(({ kind }) => kind === "number");
  if (quantities.length) {
    const { key } = quantities[0];
    const unit = quantities.length === 1 ? model.schema?.label_unit ?? null : null;
    const title = quantities.length === 1 && model.schema?.label ? labelTitle(model.schema) : titleOf(key);
    return { title, unit, isShare: false, of: (other) => toNumber([other[key]].flat()[0]) };
  }
  const list = parts.find(({ kind }) => kind === "numbers");
  if (!list) return null;
  const numbers = list.value.map(toNumber);
  const highest = numbers.indexOf(Math.max(...numbers));
  if (highest < 0) return null;
  return {
    title: `${titleOf(list.key)}, entry ${highest}, which is the highest now`,
    unit: null,
    isShare: areShares(numbers),
    of: (other) => toNumber(other[list.key][highest]),
  };
}

/** Whether numbers are shares of one whole. */
export function areShares(numbers) {
  const sum = numbers.reduce((total, number) => total + number, 0);
  return numbers.length > 1 && numbers.every((number) => number >= 0 && number <= 1) && Math.abs(sum - 1) < 0.01;
}

/** The label without its unit, which stands beside the number: "weight_pounds" is "Weight". */
function labelTitle({ label, label_unit: unit }) {
  return titleOf(unit && label.endsWith(`_${unit}`) ? label.slice(0, -unit.length - 1) : label);
}
