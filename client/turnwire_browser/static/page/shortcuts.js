/** What keys do from anywhere on the page; `help.js` tells of all of them. */

import { isComposing } from "./keys.js";

/**
 * @typedef {object} Commands
 * @property {() => void} newChat
 * @property {() => void} search
 * @property {() => void} settings
 * @property {() => void} help
 */

export const IS_APPLE = /Mac|iPhone|iPad/.test(navigator.platform);

export class Shortcuts {
  #commands;

  /** @param {Commands} commands */
  constructor(commands) {
    this.#commands = commands;
    document.addEventListener("keydown", (event) => this.#onKey(event));
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const withControl = IS_APPLE ? event.metaKey : event.ctrlKey;
    if (!withControl || event.altKey || isComposing(event)) return;
    const { newChat, search, settings, help } = this.#commands;
    const key = event.key.toLowerCase();
    const command = event.shiftKey
      ? key === "o" && newChat
      : { k: search, ",": settings, "/": help }[key];
    if (!command) return;
    event.preventDefault();
    command();
  }
}
