/** The view of a model of scalars: a form, its prediction, and how that changes with each input. */

import { predict } from "./api.js";
import { changes } from "./changes.js";
import { element } from "./element.js";
import { field } from "./field.js";
import { latest } from "./latest.js";
import { answer } from "./prediction.js";
import { request } from "./request.js";
import { defaultSignature } from "./signature.js";

const DELAY_MS = 80;

/** `element` for the page, and `refresh()` to predict once more. */
export function formView(model) {
  const signature = defaultSignature(model);
  const features = model.schema.features;
  const names = [...Object.keys(features), ...Object.keys(signature.inputs).filter((name) => !(name in features))];
  const fields = names.map((name) => field(name, signature.inputs[name], features[name]));
  const result = answer(model, { retry: () => refresh() });
  const charts = changes(model, fields);
  const call = request(model);
  const refresh = latest(update, DELAY_MS);
  const form = element(
    "form",
    {
      class: "card",
      novalidate: true,
      on: {
        input: () => refresh(),
        change: () => refresh(),
        reset: () => setTimeout(refresh), // the fields have their first values only after this event
        submit: (event) => (event.preventDefault(), refresh()),
      },
    },
    element(
      "fieldset",
      {},
      element("legend", {}, "Inputs"),
      element("div", { class: "fields" }, ...fields.map((one) => one.element)),
    ),
    element("button", { type: "reset", class: "quiet" }, "Reset"),
  );

  async function update(isStale) {
    const instance = Object.fromEntries(fields.map(({ name, value }) => [name, value()]));
    if (Object.values(instance).includes(undefined)) {
      result.wait();
      charts.wait();
      return;
    }
    call.show(instance);
    let prediction;
    try {
      [prediction] = await predict(model.path, [instance]);
    } catch (error) {
      if (!isStale()) result.fail(error);
      charts.wait();
      return;
    }
    if (isStale()) return;
    result.show(prediction);
    try {
      const variations = charts.variations(instance);
      const predictions = variations.length ? await predict(model.path, variations) : [];
      if (!isStale()) charts.show(prediction, predictions);
    } catch (error) {
      if (!isStale()) result.warn(error);
      charts.wait();
    }
  }

  return {
    element: element(
      "div",
      { class: "view" },
      element("div", { class: "beside inputs" }, form, result.element),
      charts.element,
      call.element,
    ),
    refresh,
  };
}
