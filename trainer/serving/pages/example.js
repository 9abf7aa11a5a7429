/** An instance to begin with, made of what a signature and a schema say. */

import { isFloat } from "./signature.js";

const UNKNOWN_SIZE = 1;

/** Instances as JSON text: as many as the model's batch needs, lists of plain values on one line each. */
export function exampleText({ inputs }, features) {
  const entries = Object.entries(inputs).map(([name, info]) => [name, exampleOf(info, features[name])]);
  const instance = Object.fromEntries(entries);
  const batch = Object.values(inputs)[0]?.shape?.[0] ?? 1;
  return pretty(Array.from({ length: batch }, () => instance));
}

function exampleOf({ dtype, shape }, feature = {}) {
  const sizes = (shape ?? [null]).slice(1).map((size) => size ?? UNKNOWN_SIZE);
  return sizes.reduceRight((inner, size) => Array.from({ length: size }, () => inner), scalarOf(dtype, feature));
}

function scalarOf(dtype, feature) {
  if (dtype === "string") return feature.vocabulary?.[0] ?? "text";
  if (dtype === "bool") return false;
  return feature.default ?? (isFloat(dtype) ? 0.5 : 1);
}

/** JSON with a line an entry, but lists without lists or objects in them on one line. */
export function pretty(value, indent = "") {
  const inner = `${indent}  `;
  if (Array.isArray(value)) {
    if (value.every((item) => !isDeep(item))) return `[${value.map((item) => JSON.stringify(item)).join(", ")}]`;
    return `[\n${value.map((item) => inner + pretty(item, inner)).join(",\n")}\n${indent}]`;
  }
  if (!isDeep(value)) return JSON.stringify(value);
  const entries = Object.entries(value).map(([key, item]) => `${inner}${JSON.stringify(key)}: ${pretty(item, inner)}`);
  return entries.length ? `{\n${entries.join(",\n")}\n${indent}}` : "{}";
}

function isDeep(value) {
  return value !== null && typeof value === "object" && !JSON.isRawJSON?.(value);
}

/** JSON parsed without a loss: a number that JavaScript would round stays its text, where the browser can. */
export function parseExact(text) {
  return JSON.parse(text, (key, value, context) =>
    typeof value === "number" && context && JSON.rawJSON && String(value) !== context.source
      ? JSON.rawJSON(context.source)
      : value);
}
