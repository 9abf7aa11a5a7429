/** Work that is asked for often and done for the newest state only. */

/**
 * A function that has `work` done `delayMs` after it is called. Calls in between, or while an answer is awaited, are
 * one: the next run reads the newest state. Runs never overlap, so no old answer comes after a new one; `work` is given
 * a function that says whether it has been asked for again, which makes its answer a stale one.
 */
export function latest(work, delayMs) {
  let timer = null;
  let running = false;
  let again = false;

  function ask() {
    if (running) again = true;
    else timer ??= setTimeout(run, delayMs);
  }

  async function run() {
    timer = null;
    running = true;
    try {
      await work(() => again);
    } finally {
      running = false;
      if (again) {
        again = false;
        ask();
      }
    }
  }

  return ask;
}
