/** The messages that Stop has held: taken back from the queue, and put back where one writes; pure. */

/** @typedef {import("../turnwire/fold.js").FoldedTurn} FoldedTurn */

export class Held {
  /** @type {Set<string>} */
  #turns = new Set();

  /** @param {string} turn */
  add(turn) {
    this.#turns.add(turn);
  }

  /**
   * The first of those at the end of the conversation: the next message takes their place, so that
   * what comes back from the message box does not stand there twice. undefined: there are none.
   *
   * @param {readonly FoldedTurn[]} turns in the order of their messages
   * @returns {string | undefined}
   */
  from(turns) {
    const isHeld = (/** @type {FoldedTurn} */ { turn, state, model }) =>
      this.#turns.has(turn) && state === "done" && model === undefined;
    const last = turns.map(isHeld).lastIndexOf(false);
    return turns[last + 1]?.turn;
  }
}
