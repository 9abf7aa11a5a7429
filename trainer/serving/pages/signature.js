/** What the signatures of a model say: the one to call, and which way of asking for input fits it. */

const DEFAULT = "serving_default";
const DIGIT_PIXELS = 784;
const DIGITS = 10;

/** The signature that is called when none is named, or undefined. */
export function defaultSignature({ signatures }) {
  const all = Object.values(signatures);
  return all.length === 1 ? all[0] : signatures[DEFAULT];
}

/** "form", "digit" or "editor". */
export function inputKind(model) {
  const signature = defaultSignature(model);
  if (signature && isDigit(signature)) return "digit";
  return signature && isScalars(signature, model.schema?.features ?? {}) ? "form" : "editor";
}

export function isFloat(dtype) {
  return dtype.includes("float");
}

function isDigit({ inputs, outputs }) {
  const infos = Object.values(inputs);
  return infos.length === 1 && isFloat(infos[0].dtype) && isBatchOf(infos[0], DIGIT_PIXELS)
    && outputs.probabilities !== undefined && isBatchOf(outputs.probabilities, DIGITS);
}

function isScalars({ inputs }, features) {
  const names = Object.keys(features);
  return names.length > 0
    && names.every((name) => name in inputs && (features[name].shape ?? []).length === 0)
    && Object.values(inputs).every((info) => isBatchOf(info) && !info.dtype.includes("complex"));
}

/** Whether a tensor is any number of examples of this shape. */
function isBatchOf({ shape }, ...sizes) {
  return shape !== null && shape.length === sizes.length + 1 && shape[0] === null
    && sizes.every((size, i) => shape[i + 1] === size);
}
