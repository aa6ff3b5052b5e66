// The turns of a conversation as their senders hold them, and the log of each; knows no connection.

import { TurnLog } from "./turnlog.js";

/** @import { TurnwireError } from "./errors.js" */
/** @import { Event } from "./messages.js" */
/** @import { Turn } from "./turn.js" */

export class Turns {
  /** @type {Map<string, TurnLog>} */
  #logs = new Map();
  /** @type {Map<string, Turn>} those handed out that have not ended */
  #running = new Map();
  /** Those that may call tools here. @type {Set<string>} */
  #served = new Set();

  /** @param {Event} event the next one of the conversation */
  append(event) {
    this.#log(event.turn).append(event);
    if (event.type === "done") this.#settle(event.turn);
  }

  /**
   * The turn as its sender holds it, the same while it has not ended.
   * @param {string} id
   * @param {(log: TurnLog) => Turn} make
   * @returns {Turn}
   */
  hold(id, make) {
    const known = this.#running.get(id);
    if (known) return known;
    const log = this.#log(id);
    const turn = make(log);
    this.#running.set(id, turn);
    if (log.isDone) this.#settle(id);
    return turn;
  }

  /** A turn was sent that may call tools here. @param {string} id */
  serve(id) {
    this.#served.add(id);
  }

  /** Whether one of those has not ended. */
  get isServing() {
    return [...this.#served].some((id) => !this.#logs.get(id)?.isDone);
  }

  /** The conversation is replayed from its start. */
  clear() {
    for (const log of this.#logs.values()) log.clear();
  }

  /**
   * The replay is over: turns that were not in it will not come.
   * @param {(turn: string) => boolean} isThere
   * @param {TurnwireError} error
   */
  failMissing(isThere, error) {
    for (const id of [...this.#served]) if (!isThere(id)) this.#served.delete(id);
    for (const [id, turn] of this.#running) {
      if (isThere(id) || this.#logs.get(id)?.isDone) continue;
      this.#running.delete(id);
      turn.fail(error);
    }
  }

  /** No events will come. @param {TurnwireError} error */
  fail(error) {
    for (const turn of this.#running.values()) turn.fail(error);
    this.#running.clear();
  }

  /** @param {string} id @returns {TurnLog} */
  #log(id) {
    const known = this.#logs.get(id);
    if (known) return known;
    const log = new TurnLog();
    this.#logs.set(id, log);
    return log;
  }

  /** @param {string} id */
  #settle(id) {
    this.#running.get(id)?.settle();
    this.#running.delete(id);
  }
}
