/** A drawing as an image of MNIST: 28 by 28 shares of ink, the digit 20 large, its centre of mass in the middle. */

const SIDE = 28;
const BOX = 20;

/**
 * `ink` is (side * side) bytes, row by row. Returns 784 numbers from 0 to 1, row by row, or null where there is no ink.
 * Each is the mean of the ink in the square that it covers, so that edges are as smooth as those of MNIST.
 */
export function normalise(ink, side) {
  const box = boxOf(ink, side);
  if (box === null) return null;
  const cell = Math.max(box.right - box.left, box.bottom - box.top) / BOX; // pixels of the drawing a pixel of the image
  const sums = sumsOf(ink, side);
  const pixels = [];
  for (let row = 0; row < SIDE; row++) {
    for (let column = 0; column < SIDE; column++) {
      const left = box.x + (column - SIDE / 2) * cell;
      const top = box.y + (row - SIDE / 2) * cell;
      const mean = inkIn(sums, side, left, top, left + cell, top + cell) / (cell * cell);
      pixels.push(Math.min(255, Math.round(mean)) / 255); // MNIST's own are bytes
    }
  }
  return pixels;
}

/** The box around all ink, and the centre of its mass (x, y), in pixels of the drawing. */
function boxOf(ink, side) {
  let [left, top, right, bottom] = [side, side, 0, 0];
  let [mass, x, y] = [0, 0, 0];
  for (let i = 0; i < ink.length; i++) {
    if (ink[i] === 0) continue;
    const column = i % side;
    const row = (i - column) / side;
    left = Math.min(left, column);
    right = Math.max(right, column + 1);
    top = Math.min(top, row);
    bottom = Math.max(bottom, row + 1);
    mass += ink[i];
    x += ink[i] * (column + 0.5);
    y += ink[i] * (row + 0.5);
  }
  return mass === 0 ? null : { left, top, right, bottom, x: x / mass, y: y / mass };
}

/** The ink above and left of each corner of the pixels, (side + 1) ** 2. */
function sumsOf(ink, side) {
  const wide = side + 1;
  const sums = new Float64Array(wide * wide);
  for (let row = 0; row < side; row++) {
    let line = 0;
    for (let column = 0; column < side; column++) {
      line += ink[row * side + column];
      sums[(row + 1) * wide + column + 1] = sums[row * wide + column + 1] + line;
    }
  }
  return sums;
}

/** The ink in a rectangle, parts of pixels by their share. */
function inkIn(sums, side, left, top, right, bottom) {
  const above = (x, y) => sumAt(sums, side, x, y);
  return above(right, bottom) - above(left, bottom) - above(right, top) + above(left, top);
}

/** The ink above and left of any point: within a pixel the sum is bilinear. */
function sumAt(sums, side, x, y) {
  const wide = side + 1;
  const [u, v] = [Math.min(side, Math.max(0, x)), Math.min(side, Math.max(0, y))];
  const [column, row] = [Math.min(side - 1, Math.floor(u)), Math.min(side - 1, Math.floor(v))];
  const [right, down] = [u - column, v - row];
  const corner = row * wide + column;
  return (1 - down) * ((1 - right) * sums[corner] + right * sums[corner + 1])
    + down * ((1 - right) * sums[corner + wide] + right * sums[corner + wide + 1]);
}
