/** What keys do from anywhere on the page, and the card that tells of all of them. */

import { Dialog } from "./dialog.js";
import { element } from "./element.js";
import { isComposing } from "./keys.js";
import { words } from "./language.js";

/**
 * @typedef {object} Commands
 * @property {() => void} newChat
 * @property {() => void} search
 * @property {() => void} settings
 */

const IS_APPLE = /Mac|iPhone|iPad/.test(navigator.platform);

export class Shortcuts {
  #commands;
  #sendKey;
  /** @type {Dialog | undefined} */
  #card;

  /**
   * @param {Commands} commands
   * @param {() => "enter" | "control"} sendKey
   */
  constructor(commands, sendKey) {
    this.#commands = commands;
    this.#sendKey = sendKey;
    document.addEventListener("keydown", (event) => this.#onKey(event));
  }

  /** Show the card. */
  help() {
    this.#card?.element.remove();
    const [queue, interrupt, newLine] =
      this.#sendKey() === "enter"
        ? [["Enter"], [CONTROL, "Enter"], [shift(), "Enter"]]
        : [[CONTROL, "Enter"], [CONTROL, shift(), "Enter"], ["Enter"]];
    const { shortcuts } = words;
    this.#card = new Dialog(
      "shortcuts-title",
      shortcuts.title,
      element(
        "dl",
        { class: "keys" },
        ...line(queue, shortcuts.send),
        ...line(newLine, shortcuts.newLine),
        ...line(interrupt, shortcuts.interrupt),
        ...line(["Esc"], shortcuts.stop),
        ...line([CONTROL, shift(), "O"], shortcuts.newChat),
        ...line([CONTROL, "K"], shortcuts.search),
        ...line([CONTROL, ","], shortcuts.settings),
        ...line([CONTROL, "/"], shortcuts.help),
      ),
    );
    this.#card.open();
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const withControl = IS_APPLE ? event.metaKey : event.ctrlKey;
    if (!withControl || event.altKey || isComposing(event)) return;
    const { newChat, search, settings } = this.#commands;
    const key = event.key.toLowerCase();
    const command = event.shiftKey
      ? key === "o" && newChat
      : { k: search, ",": settings, "/": () => this.help() }[key];
    if (!command) return;
    event.preventDefault();
    command();
  }
}

const CONTROL = IS_APPLE ? "⌘" : "Ctrl";

/** As the keyboard of the reader has it. */
function shift() {
  return words.composer.hintEnter[2]?.split(" ")[0] ?? "";
}

/**
 * @param {string[]} keys
 * @param {string} does
 */
function line(keys, does) {
  const pressed = keys.flatMap((key, index) => [index ? " + " : "", element("kbd", {}, key)]);
  return [element("dt", {}, ...pressed), element("dd", {}, does)];
}
