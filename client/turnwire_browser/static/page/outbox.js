/** Messages that the log does not show yet, kept over a reload; knows no connection and no page. */

import { randomId } from "../turnwire/random.js";
import { recall, remember } from "./storage.js";

/** @typedef {import("../turnwire/messages.js").Content} Content */
/** @typedef {Pick<import("../turnwire/turnwire.js").SendOptions, "if_busy" | "retract" | "model" | "system" | "thinking" | "effort">} SendOptions */

/**
 * @typedef {object} Letter A message on its way; a change makes a new one.
 * @property {string} key of its send, the same for every attempt: sent twice, it is asked once
 * @property {Content} content
 * @property {SendOptions} options
 * @property {"sending" | "failed"} state
 * @property {string} [code] why it failed
 * @property {string} [message]
 */

export class Outbox {
  /** @type {readonly Letter[]} */
  letters;
  #slot;

  /** @param {string} slot the conversation's id, or "new" */
  constructor(slot) {
    this.#slot = slot;
    this.letters = parse(recall(`outbox.${slot}`));
  }

  /**
   * @param {Content} content
   * @param {SendOptions} options
   * @returns {Letter}
   */
  add(content, options) {
    /** @type {Letter} */
    const letter = { key: randomId(), content, options, state: "sending" };
    this.#set([...this.letters, letter]);
    return letter;
  }

  /**
   * Try one again. A key that was refused as used for something else gives way to a new one; what
   * was to replace a turn that is void already is a message like any other.
   *
   * @param {string} key
   * @returns {Letter | undefined}
   */
  retry(key) {
    const old = this.letters.find((letter) => letter.key === key);
    if (!old) return undefined;
    /** @type {Letter} */
    const letter = {
      key: old.code === "key_reused" ? randomId() : key,
      content: old.content,
      options: old.code === "unknown_turn" ? {} : old.options,
      state: "sending",
    };
    this.#set(this.letters.map((other) => (other === old ? letter : other)));
    return letter;
  }

  /**
   * @param {string} key
   * @param {{ code?: string, message?: string }} error
   */
  fail(key, { code, message }) {
    /** @param {Letter} letter @returns {Letter} */
    const failed = (letter) => ({ ...letter, state: "failed", code, message });
    this.#set(this.letters.map((letter) => (letter.key === key ? failed(letter) : letter)));
  }

  /**
   * Drop what the log shows.
   *
   * @param {(key: string) => boolean} arrived
   */
  settle(arrived) {
    if (this.letters.some(({ key }) => arrived(key))) {
      this.#set(this.letters.filter(({ key }) => !arrived(key)));
    }
  }

  /**
   * The conversation has got its id.
   *
   * @param {string} slot
   */
  move(slot) {
    const letters = this.letters;
    this.#set([]);
    this.#slot = slot;
    this.#set(letters);
  }

  /** @param {readonly Letter[]} letters */
  #set(letters) {
    this.letters = letters;
    remember(`outbox.${this.#slot}`, letters.length > 0 ? JSON.stringify(letters) : "");
  }
}

/**
 * @param {string | undefined} text
 * @returns {readonly Letter[]}
 */
function parse(text) {
  try {
    const letters = JSON.parse(text ?? "[]");
    return Array.isArray(letters) ? letters : [];
  } catch {
    return [];
  }
}
