/**
 * The tools whose calls the user has allowed without being asked, of one conversation, remembered by the
 * tab. Each call is still decided by a command of this page, which the log tells like any other.
 */

import { recall, remember } from "./storage.js";

export class Permissions {
  #slot;
  /** @type {Set<string>} */
  #names;

  /** @param {string} slot the conversation's id, or "new" */
  constructor(slot) {
    this.#slot = slot;
    this.#names = new Set((recall(`allowed.${slot}`) ?? "").split(" ").filter(Boolean));
  }

  /** @param {string} tool */
  has(tool) {
    return this.#names.has(tool);
  }

  /** @param {string} tool */
  add(tool) {
    this.#names.add(tool);
    this.#keep();
  }

  /** @param {string} tool its calls are asked about again */
  remove(tool) {
    this.#names.delete(tool);
    this.#keep();
  }

  /** @param {string} slot the conversation has got its id */
  move(slot) {
    if (slot === this.#slot) return;
    remember(`allowed.${this.#slot}`, "");
    this.#slot = slot;
    this.#keep();
  }

  #keep() {
    // A tool's name has no space in it (PROTOCOL.md, `client_tools`; the Messages API).
    remember(`allowed.${this.#slot}`, [...this.#names].join(" "));
  }
}
