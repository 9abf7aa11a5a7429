/** Elements of the page from a tag, its attributes and its children. */

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element. An attribute of null or false is left out, of true is empty; `on` holds listeners. */
export function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** An SVG element. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(node, { on = {}, ...attributes }, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  for (const [name, listener] of Object.entries(on)) node.addEventListener(name, listener);
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** An id that no other element has, so that a label can name its input. */
export function newId(stem) {
  newId.count = (newId.count ?? 0) + 1;
  return `${stem}-${newId.count}`;
}
