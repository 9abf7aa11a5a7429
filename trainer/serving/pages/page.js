/** The page: which models there are, which one is shown, and the token where the server wants one. */

import { access, authorize, fetchModels, predictPath } from "./api.js";
import { digitView } from "./digit.js";
import { editorView } from "./editor.js";
import { element } from "./element.js";
import { formView } from "./form.js";
import { failure } from "./prediction.js";
import { inputKind } from "./signature.js";

const VIEWS = { form: formView, digit: digitView, editor: editorView };
const LOADING_MS = 2000; // between two questions while no model is loaded

const main = document.querySelector("main");
const nav = document.querySelector("nav");
const notice = document.querySelector(".notice");
const door = document.querySelector("form.access");
let pages = []; // of a model each: {model, link, version, section, view}

async function start() {
  let models;
  try {
    models = await fetchModels();
  } catch (error) {
    const problem = failure({ retry: start });
    notice.hidden = false;
    notice.replaceChildren(problem.element);
    problem.show(error);
    return;
  }
  if (models.length === 0) {
    notice.textContent = "No model is served yet. This page shows it as soon as there is one.";
    setTimeout(start, LOADING_MS);
    return;
  }
  notice.hidden = true;
  door.hidden = true;
  pages = models.map((model) => pageOf(addressed(model, models)));
  main.append(...pages.map(({ section }) => section));
  nav.append(...pages.map(({ link }) => link));
  nav.hidden = pages.length === 1;
  choose();
}

/** A model with its word in the page's address and its path at the server, both with the version if names repeat. */
function addressed(model, models) {
  const isAlone = models.filter(({ name }) => name === model.name).length === 1;
  const id = isAlone ? model.name : `${model.name}/${model.version}`;
  return { ...model, id, path: predictPath(model.name, isAlone ? null : model.version) };
}

function pageOf(model) {
  const version = element("span");
  const heading = element("h1", { tabindex: "-1" }, model.name);
  const title = element("div", { class: "title" }, heading, element("p", { class: "hint" }, version));
  const section = element("article", { hidden: true }, title);
  showVersion(version, model.version);
  const link = element("a", { href: `#${encodeURIComponent(model.id)}` }, model.id);
  return { model, link, version, section, view: null };
}

/** Show the model that the address names, or the first. A page keeps what was typed into it while others are shown. */
function choose() {
  if (pages.length === 0) return;
  const word = location.hash.slice(1);
  const chosen = pages.find(({ link }) => link.hash.slice(1) === word) ?? pages[0];
  for (const page of pages) {
    page.section.hidden = page !== chosen;
    if (page === chosen) page.link.setAttribute("aria-current", "page");
    else page.link.removeAttribute("aria-current");
  }
  document.title = `${chosen.model.id} · Predictions`;
  if (chosen.view === null) {
    chosen.view = VIEWS[inputKind(chosen.model)](chosen.model);
    chosen.section.append(chosen.view.element);
    chosen.view.refresh();
  }
}

/** A number of ten digits is the second in which the model was exported. */
function showVersion(place, version) {
  const made = /^\d{10}$/.test(version) ? new Date(1000 * Number(version)) : null;
  place.textContent = `Version ${version}`;
  if (made) {
    const text = made.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
    place.append(", exported ", element("time", { datetime: made.toISOString() }, text));
  }
}

/** The server may have taken a newer export meanwhile. */
async function updateVersions() {
  if (document.visibilityState !== "visible" || pages.length === 0) return;
  const models = await fetchModels().catch(() => []);
  for (const { model, version, view } of pages) {
    const newer = models.find(({ name }) => name === model.name);
    if (model.id !== model.name || !newer || newer.version === model.version) continue;
    model.version = newer.version;
    showVersion(version, newer.version);
    view?.refresh();
  }
}

access.addEventListener("refused", () => {
  if (!door.hidden) return;
  door.hidden = false;
  door.querySelector("input").focus();
});
door.addEventListener("submit", (event) => {
  event.preventDefault();
  authorize(door.querySelector("input").value);
  door.hidden = true;
  if (pages.length === 0) start();
  else for (const { view } of pages) view?.refresh();
});
window.addEventListener("hashchange", choose);
document.addEventListener("visibilitychange", updateVersions);
start();
