/** The same prediction as a command for a shell. */

import { isAuthorized } from "./api.js";
import { element } from "./element.js";

/** `element` for the page, and `show(instance)`. */
export function request(model) {
  const code = element("code");
  return {
    element: element(
      "details",
      { class: "request" },
      element("summary", {}, "The same request with curl"),
      element("pre", { tabindex: "0", "aria-label": "Command" }, code),
    ),
    show(instance) {
      const quoted = JSON.stringify({ instances: [instance] }).replaceAll("'", String.raw`'\''`);
      const header = isAuthorized() ? ' -H "Authorization: Bearer $TOKEN"' : "";
      code.textContent = `curl '${new URL(model.path, document.baseURI)}'${header} \\\n  -d '${quoted}'`;
    },
  };
}
