// The turns that later ones were sent in place of: void for every reader, and still in the log; knows no connection.

/** @import { RetractEvent } from "./messages.js" */
/** @import { FoldedTurn } from "./fold.js" */

/**
 * By a turn's id: the turns in whose place it was sent, the earliest first (PROTOCOL.md "The end of a conversation").
 * @typedef {Record<string, ReadonlyArray<Readonly<FoldedTurn>>>} Earlier
 */

export class Replaced {
  /** By the turn that took its place. @type {Map<string, Readonly<FoldedTurn>>} */
  #turns = new Map();

  /**
   * A turn is about to become void.
   * @param {RetractEvent} event whose `turn` takes its place
   * @param {ReadonlyArray<Readonly<FoldedTurn>>} turns as they still are
   */
  note({ turn, from_turn }, turns) {
    const old = turns.find((other) => other.turn === from_turn);
    if (old) this.#turns.set(turn, old);
  }

  /** Turns were read that stand before those that are held. @param {Earlier} earlier */
  add(earlier) {
    for (const [turn, olds] of Object.entries(earlier)) {
      let by = turn;
      for (const old of [...olds].reverse()) {
        this.#turns.set(by, old);
        by = old.turn;
      }
    }
  }

  /**
   * The turn that this one replaced, the one which that had replaced, and so on; the earliest first.
   * @param {string} turn
   * @returns {Readonly<FoldedTurn>[]}
   */
  of(turn) {
    const found = [];
    for (let old = this.#turns.get(turn); old; old = this.#turns.get(old.turn)) found.unshift(old);
    return found;
  }

  /** The conversation is replayed from its start. */
  clear() {
    this.#turns.clear();
  }
}
