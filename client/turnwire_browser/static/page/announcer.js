/** Tells users of screen readers that an answer begins and how it ended; never the words of it. */

import { setText } from "./element.js";
import { ending, explain, retryCause } from "./words.js";

/** @typedef {import("../fold.js").Turn} Turn */

export class Announcer {
  #turn = "";
  /** @type {Turn["state"] | "retrying"} */
  #state = "done";
  /** Ends that are no news: where a turn was taken back, the one before it is the newest again. */
  #told = new Set();

  /** @param {HTMLElement} region an aria-live region */
  constructor(region) {
    this.region = region;
  }

  /** @param {string} words */
  say(words) {
    setText(this.region, words);
  }

  /** Another conversation is on the screen. */
  forget() {
    this.#turn = "";
    this.say("");
  }

  /**
   * Announce what has become of the turn that runs, or ran last, since the last call.
   *
   * @param {Turn | undefined} turn
   * @param {boolean} live whether what is new happens now; the past is not announced
   */
  update(turn, live) {
    if (!turn) return;
    const state = turn.retry ? "retrying" : turn.state;
    const isKnown = turn.turn === this.#turn;
    if (isKnown && state === this.#state) return;
    const wasRetrying = isKnown && this.#state === "retrying";
    this.#turn = turn.turn;
    this.#state = state;
    if (state === "done" && this.#told.has(turn.turn)) return;
    if (state === "done") this.#told.add(turn.turn);
    if (turn.retry) this.say(`${retryCause(turn.retry.code)}, trying again`);
    else if (state !== "done") {
      if (!wasRetrying) this.say("Claude is answering");
    } else if (live) this.say(outcome(turn));
  }
}

/** @param {Turn} turn */
function outcome({ error, done }) {
  if (error) {
    const { title, remedy } = explain(error.code, error.message);
    return `${title} ${remedy}`.trim();
  }
  const end = done && ending(done.stop_reason, true);
  return end ? `${end.title}. ${end.remedy}`.replace(/\. $/, "") : "Answer complete";
}
