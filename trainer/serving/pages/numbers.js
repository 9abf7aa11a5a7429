/** Numbers as text, and round numbers around a number. */

import { element } from "./element.js";

const OTHER_UNITS = { pounds: { unit: "kilograms", factor: 0.45359237 } };

/** A number of a prediction; the API writes one that is not finite as a word. */
export function toNumber(value) {
  return typeof value === "string" ? Number(value) : value;
}

/** A number as people read it: three significant digits or more, and no more than two decimals from 1 on. */
export function format(number) {
  if (!Number.isFinite(number)) return Number.isNaN(number) ? "not a number" : number > 0 ? "∞" : "−∞";
  const size = Math.abs(number);
  if (size !== 0 && (size < 1e-4 || size >= 1e9)) return number.toExponential(2).replace("-", "−");
  const digits = size >= 1000 ? 0 : size >= 1 || size === 0 ? 2 : Math.min(6, 2 - Math.floor(Math.log10(size)));
  return number.toLocaleString("en", { minimumFractionDigits: size >= 1 ? digits : 0, maximumFractionDigits: digits });
}

/** A share of one in percent, which reads 0.0% and 100.0% only where it is none or all. */
export function percent(share) {
  if (!Number.isFinite(share)) return format(share);
  if (share > 0 && share < 0.0005) return "<0.1%";
  if (share < 1 && share >= 0.9995) return ">99.9%";
  return `${(100 * share).toFixed(1)}%`;
}

/** By how much a number differs from another, to a ten-thousandth of that: "+0.271", "−1.2", or "0". */
export function difference(number, from) {
  if (!Number.isFinite(number) || !Number.isFinite(from)) return "";
  const decimals = Math.min(8, Math.max(0, 3 - Math.floor(Math.log10(Math.abs(from) || 1))));
  const text = Math.abs(number - from).toFixed(decimals);
  return Number(text) === 0 ? "0" : `${number > from ? "+" : "−"}${text}`;
}

/** The number in a `data` element, so that the exact value stays in the page. */
export function dataOf(number, text = format(number)) {
  return element("data", { value: number }, text);
}

/** The same quantity in another unit that people use, or null. */
export function inOtherUnit(number, unit) {
  const other = OTHER_UNITS[unit];
  return other ? { number: number * other.factor, unit: other.unit } : null;
}

/** 1, 2 or 5 times a power of ten, at or above `size`. */
export function roundStep(size) {
  const power = 10 ** Math.floor(Math.log10(size));
  const digit = [1, 2, 5, 10].find((candidate) => candidate * power >= size * (1 - 1e-9));
  return digit * power;
}

/** `count` multiples of `step`, exact to the last decimal shown. */
function multiples(first, count, step) {
  return Array.from({ length: count }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** Round numbers in [low, high], about `count` of them. */
export function ticks(low, high, count) {
  const step = roundStep((high - low) / count);
  const first = Math.ceil(low / step - 1e-9);
  return multiples(first, Math.floor(high / step + 1e-9) - first + 1, step);
}

/** Some twenty round numbers a `share` above and below `centre`; whole ones if asked, and positive if it is. */
export function around(centre, { whole, share }) {
  const reach = Math.abs(centre) * share || 1;
  const step = Math.max(whole ? 1 : 0, roundStep(reach / 10));
  const count = Math.max(2, Math.round(reach / step));
  const first = Math.round(centre / step) - count;
  return multiples(centre > 0 ? Math.max(1, first) : first, 2 * count + 1, step);
}
