/** The view of a model of handwritten digits: a surface to draw on, what the model gets of it, and what it says. */

import { predict } from "./api.js";
import { bars } from "./charts.js";
import { drawing } from "./drawing.js";
import { element } from "./element.js";
import { latest } from "./latest.js";
import { normalise } from "./normalise.js";
import { percent } from "./numbers.js";
import { answer } from "./prediction.js";
import { defaultSignature } from "./signature.js";

const DELAY_MS = 40;
const SIDE = 28;
const NOTHING = Array.from({ length: 10 }, (_, i) => ({ name: String(i), number: null, strong: false }));

/** `element` for the page, and `refresh()` to predict once more. */
export function digitView(model) {
  const [input] = Object.keys(defaultSignature(model).inputs);
  const refresh = latest(update, DELAY_MS);
  const paper = drawing({ onChange: refresh });
  const result = answer(model, { retry: refresh });
  const image = element("canvas", { class: "image", width: SIDE, height: SIDE, role: "img" });
  const caption = element("figcaption", { class: "hint" }, "What the model gets: 28 by 28 pixels, centred.");

  async function update() {
    const { bytes, side } = paper.ink();
    const pixels = normalise(bytes, side);
    paint(image, pixels);
    if (pixels === null) {
      result.clear("Draw a digit from 0 to 9.", [bars("Probabilities", NOTHING, { most: 1, format: percent })]);
      return;
    }
    try {
      const [prediction] = await predict(model.path, [{ [input]: pixels }]);
      result.show(prediction);
    } catch (error) {
      result.fail(error);
    }
  }

  return {
    element: element(
      "div",
      { class: "view" },
      element(
        "div",
        { class: "beside digits" },
        element(
          "section",
          { class: "card", "aria-label": "Drawing" },
          element(
            "div",
            { class: "bar-of-title" },
            element("h2", {}, "Draw a digit"),
            element("button", { type: "button", class: "quiet", on: { click: () => paper.clear() } }, "Clear"),
          ),
          element(
            "div",
            { class: "paper" },
            paper.element,
            element("figure", {}, image, caption),
          ),
        ),
        result.element,
      ),
    ),
    refresh,
  };
}

/** Shares of ink, or none, as pixels. */
function paint(canvas, pixels) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(SIDE, SIDE);
  pixels?.forEach((share, i) => (image.data[4 * i + 3] = Math.round(255 * share)));
  context.putImageData(image, 0, 0);
  canvas.setAttribute("aria-label", pixels ? "The drawing as the model gets it" : "Nothing drawn");
}
