/** Messages that the log does not show yet, kept over a reload; knows no connection and no page. */

import { recall, remember } from "./storage.js";

/**
 * @typedef {object} Letter A message on its way; a change makes a new one.
 * @property {string} key of its send, the same for every attempt: sent twice, it is asked once
 * @property {string} content
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
    this.letters = parsed(recall(`outbox.${slot}`));
  }

  /**
   * @param {string} content
   * @returns {Letter}
   */
  add(content) {
    /** @type {Letter} */
    const letter = { key: randomKey(), content, state: "sending" };
    this.#set([...this.letters, letter]);
    return letter;
  }

  /**
   * Try one again. A key that was refused as used for something else gives way to a new one.
   *
   * @param {string} key
   * @returns {Letter | undefined}
   */
  retry(key) {
    const old = this.letters.find((letter) => letter.key === key);
    if (!old) return undefined;
    /** @type {Letter} */
    const letter = {
      key: old.code === "key_reused" ? randomKey() : key,
      content: old.content,
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
function parsed(text) {
  try {
    const letters = JSON.parse(text ?? "[]");
    return Array.isArray(letters) ? letters : [];
  } catch {
    return [];
  }
}

/** 128 random bits; crypto.randomUUID is missing on pages served over plain http. */
function randomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
