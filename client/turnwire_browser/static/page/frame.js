/** Time on the page: drawing at most once per frame, what can wait, and counting down; knows nothing of what is drawn. */

import { setText } from "./element.js";

const FRAME_MILLISECONDS = 8;
const REST_FACTOR = 3;

/**
 * A function that asks for `draw` in the next animation frame, however often it is called. A draw
 * that took too long, of one enormous list perhaps, is followed by a rest: the page stays usable.
 *
 * @param {() => void} draw
 * @returns {() => void}
 */
export function oncePerFrame(draw) {
  let asked = false;
  let restMilliseconds = 0;

  function frame() {
    asked = false;
    const began = performance.now();
    draw();
    const took = performance.now() - began;
    restMilliseconds = took > FRAME_MILLISECONDS ? took * REST_FACTOR : 0;
  }

  return () => {
    if (asked) return;
    asked = true;
    if (restMilliseconds > 0) setTimeout(() => requestAnimationFrame(frame), restMilliseconds);
    else requestAnimationFrame(frame);
  };
}

/** @type {(() => void)[]} */
const waiting = [];

/**
 * Do this when the page has nothing better to do: one such task at a time, in the order of asking.
 *
 * @param {() => void} task
 */
export function whenIdle(task) {
  waiting.push(task);
  if (waiting.length === 1) askForIdle();
}

function askForIdle() {
  const next = () => {
    const task = waiting.shift();
    if (waiting.length > 0) askForIdle();
    task?.();
  };
  // Safari has none.
  if (typeof requestIdleCallback === "function") requestIdleCallback(next, { timeout: 1000 });
  else setTimeout(next, 50);
}

/** Text that says how many seconds are left until a moment; at 0 it says so once and rests. */
export class Countdown {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {HTMLElement} target
   * @param {(seconds: number) => string} say what to show with so many whole seconds left
   */
  constructor(target, say) {
    this.target = target;
    this.say = say;
  }

  /**
   * Count down to a moment.
   *
   * @param {number} deadline milliseconds since the epoch
   */
  until(deadline) {
    clearTimeout(this.#timer);
    const left = Math.max(0, deadline - Date.now());
    setText(this.target, this.say(Math.ceil(left / 1000)));
    if (left > 0) this.#timer = setTimeout(() => this.until(deadline), left % 1000 || 1000);
  }

  stop() {
    clearTimeout(this.#timer);
  }
}
