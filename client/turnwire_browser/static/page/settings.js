/** What the user has set, kept in this browser; knows no view. */

import { keep, kept } from "./storage.js";

/**
 * @typedef {object} Values
 * @property {string} language a tag of `LANGUAGES`; empty: as the browser has it
 * @property {"system" | "light" | "dark"} theme
 * @property {"enter" | "control"} send_key Enter sends, or Control (or Command) with it
 * @property {"shown" | "hidden"} usage of tokens, and what they cost
 * @property {string} system prompt for the next turns; empty: the server's own
 * @property {string} model for the next turns; empty: the server's own
 * @property {"" | "adaptive" | "disabled"} thinking in the next turns; empty: as the server has it
 * @property {"" | NonNullable<import("../turnwire/messages.js").Send["effort"]>} effort in the next turns; likewise
 */

/** @type {Values} */
const USUAL = {
  language: "",
  theme: "system",
  send_key: "enter",
  usage: "shown",
  system: "",
  model: "",
  thinking: "",
  effort: "",
};

export class Settings {
  #values = parse(kept("settings"));
  /** @type {Set<() => void>} */
  #listeners = new Set();

  constructor() {
    // Another tab has changed them.
    addEventListener("storage", ({ key }) => {
      if (key !== null && !key.endsWith("settings")) return;
      this.#values = parse(kept("settings"));
      this.#tell();
    });
  }

  /**
   * @template {keyof Values} Name
   * @param {Name} name
   * @returns {Values[Name]}
   */
  get(name) {
    return this.#values[name];
  }

  /**
   * @template {keyof Values} Name
   * @param {Name} name
   * @param {Values[Name]} value
   */
  set(name, value) {
    this.#values = { ...this.#values, [name]: value };
    keep("settings", JSON.stringify(this.#values));
    this.#tell();
  }

  /**
   * Hear of changes, and once at first.
   *
   * @param {() => void} listener
   */
  watch(listener) {
    this.#listeners.add(listener);
    listener();
  }

  #tell() {
    for (const listener of this.#listeners) listener();
  }
}

/**
 * @param {string | undefined} text
 * @returns {Values} what is unknown or missing in the text is as usual
 */
function parse(text) {
  try {
    const stored = JSON.parse(text ?? "{}");
    const isText = (/** @type {string} */ name) => typeof stored[name] === "string";
    const known = Object.keys(USUAL).filter(isText);
    return { ...USUAL, ...Object.fromEntries(known.map((name) => [name, stored[name]])) };
  } catch {
    return { ...USUAL };
  }
}
