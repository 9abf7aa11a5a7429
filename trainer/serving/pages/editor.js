/** The view of any model: instances as JSON, a signature, and the answer as JSON. */

import { predictText } from "./api.js";
import { element, newId } from "./element.js";
import { exampleText, parseExact, pretty } from "./example.js";
import { failure } from "./prediction.js";

/** `element` for the page, and `refresh()`, which predicts again only what was asked for. */
export function editorView(model) {
  const names = Object.keys(model.signatures);
  const features = model.schema?.features ?? {};
  const [signatureId, textId, hintId] = ["signature", "instances", "instances-hint"].map(newId);
  const first = names.includes("serving_default") ? "serving_default" : names[0];
  const choice = element(
    "select", { id: signatureId, on: { change: prefill } },
    ...names.map((name) => element("option", { selected: name === first }, name)),
  );
  const text = element("textarea", {
    id: textId, rows: "12", spellcheck: "false", autocapitalize: "off", autocomplete: "off", "aria-describedby": hintId,
    on: { keydown: (event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && form.requestSubmit() },
  });
  const about = element("div");
  const output = element("pre", { class: "output", tabindex: "0", role: "region", "aria-label": "Predictions" });
  const live = element("p", { class: "hint", role: "status" }, "Nothing asked yet.");
  const problem = failure({ retry: send });
  const button = element("button", {}, "Predict");
  const form = element(
    "form",
    { class: "card", novalidate: true, on: { submit: (event) => (event.preventDefault(), send()) } },
    element("div", { class: "field" }, element("label", { for: signatureId }, "Signature"), choice),
    about,
    element(
      "div", { class: "field" },
      element("label", { for: textId }, "Instances, a list in JSON"), text,
      element("p", { id: hintId, class: "hint" }, 'Bytes are written {"b64": "…"}. Ctrl and Enter predicts.'),
    ),
    button,
  );
  const card = element(
    "section", { class: "card answer", "aria-label": "Prediction" },
    element("h2", {}, "Predictions"), live, output, problem.element,
  );
  let example = "";
  let isAsked = false;
  prefill();

  /** Show the chosen signature, and its example unless something else was typed. */
  function prefill() {
    const signature = model.signatures[choice.value];
    const isTyped = text.value !== example;
    example = exampleText(signature, features);
    if (!isTyped) text.value = example;
    about.replaceChildren(tensors("Inputs", signature.inputs), tensors("Outputs", signature.outputs));
  }

  async function send() {
    isAsked = true;
    problem.clear();
    try {
      JSON.parse(text.value);
    } catch (error) {
      card.dataset.state = "old";
      problem.show(new Error(`The instances are not JSON: ${error.message}`));
      return;
    }
    button.disabled = true;
    const start = performance.now();
    try {
      // As text, so that no number is rounded.
      const body = `{"instances": ${text.value}, "signature_name": ${JSON.stringify(choice.value)}}`;
      const { predictions } = parseExact(await predictText(model.path, body));
      const count = predictions.length === 1 ? "1 prediction" : `${predictions.length} predictions`;
      live.textContent = `${count} in ${Math.round(performance.now() - start)} ms.`;
      output.textContent = pretty(predictions);
      card.dataset.state = "shown";
    } catch (error) {
      card.dataset.state = "old";
      problem.show(error);
    } finally {
      button.disabled = false;
    }
  }

  return {
    element: element("div", { class: "view" }, element("div", { class: "beside even" }, form, card)),
    refresh: () => isAsked && send(),
  };
}

function tensors(title, infos) {
  return element(
    "table",
    { class: "tensors" },
    element("caption", {}, title),
    element("tbody", {}, ...Object.entries(infos).map(([name, { dtype, shape }]) =>
      element(
        "tr", {},
        element("th", { scope: "row" }, name),
        element("td", {}, dtype),
        element("td", {}, shape === null ? "any shape" : `[${shape.map((size) => size ?? "any").join(", ")}]`),
      ))),
  );
}
