/** A surface to draw on with a mouse, a finger, a pen or the keyboard. */

import { element, newId } from "./element.js";

const SIDE = 560; // pixels
const PEN = 48; // about two of MNIST's pixels where the digit fills the surface
const CELLS = 28; // steps of the keyboard across
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** `element` for the page; `ink()` its bytes and their side; `onChange` is called when there is more ink or none. */
export function drawing({ onChange }) {
  const hint = newId("drawing");
  const canvas = element("canvas", {
    width: SIDE, height: SIDE, tabindex: "0",
    role: "application", "aria-label": "Drawing area", "aria-describedby": hint,
    on: { pointerdown: press, pointermove: move, pointerup: lift, pointercancel: lift, keydown: type },
  });
  const cursor = element("div", { class: "cursor", "aria-hidden": "true" });
  const where = element("p", { class: "unseen", role: "status" });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  let last = null; // where the pointer was, while it is down
  let cell = { column: CELLS / 2, row: 4 };
  place();

  function press(event) {
    if (event.button !== 0 || last) return;
    canvas.setPointerCapture(event.pointerId);
    last = pointOf(event);
    stroke(last, last);
  }

  function move(event) {
    if (!last || !canvas.hasPointerCapture(event.pointerId)) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const point of (events.length ? events : [event]).map(pointOf)) {
      stroke(last, point);
      last = point;
    }
  }

  function lift(event) {
    if (canvas.hasPointerCapture(event.pointerId)) last = null;
  }

  function type(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = MOVES[event.key];
    if (step) {
      const before = centre();
      const inside = (at) => Math.min(CELLS - 1, Math.max(0, at));
      cell = { column: inside(cell.column + step[0]), row: inside(cell.row + step[1]) };
      place();
      if (event.shiftKey) stroke(before, centre());
      tell(event.shiftKey ? "painted to" : "at");
    } else if (event.key === " " || event.key === "Enter") {
      stroke(centre(), centre());
      tell("painted at");
    } else if (event.key === "Delete" || event.key === "Backspace") {
      clear();
    } else {
      return;
    }
    event.preventDefault();
  }

  function stroke(from, to) {
    context.lineWidth = PEN;
    context.lineCap = "round";
    context.beginPath();
    context.moveTo(from.x, from.y);
    context.lineTo(to.x, to.y);
    context.stroke();
    context.beginPath(); // a line of no length is nothing, by the standard and in Chromium since 156.0.8078.108
    context.arc(to.x, to.y, PEN / 2, 0, 2 * Math.PI);
    context.fill();
    onChange();
  }

  function clear() {
    context.clearRect(0, 0, SIDE, SIDE);
    where.textContent = "cleared";
    onChange();
  }

  function pointOf({ clientX, clientY }) {
    const { left, top, width, height } = canvas.getBoundingClientRect();
    return { x: ((clientX - left) * SIDE) / width, y: ((clientY - top) * SIDE) / height };
  }

  function centre() {
    return { x: ((cell.column + 0.5) * SIDE) / CELLS, y: ((cell.row + 0.5) * SIDE) / CELLS };
  }

  function place() {
    cursor.style.left = `${(100 * (cell.column + 0.5)) / CELLS}%`;
    cursor.style.top = `${(100 * (cell.row + 0.5)) / CELLS}%`;
  }

  function tell(what) {
    where.textContent = `${what} column ${cell.column + 1}, row ${cell.row + 1}`;
  }

  function ink() {
    const { data } = context.getImageData(0, 0, SIDE, SIDE);
    return { side: SIDE, bytes: Uint8Array.from({ length: SIDE * SIDE }, (_, i) => data[4 * i + 3]) }; // alpha
  }

  return {
    element: element(
      "div",
      { class: "drawing" },
      element("div", { class: "surface" }, canvas, cursor),
      element(
        "p", { id: hint, class: "hint" },
        "With a keyboard: arrow keys move, space or Enter paints, Shift and an arrow key draws a line, Delete clears.",
      ),
      where,
    ),
    ink,
    clear,
  };
}
