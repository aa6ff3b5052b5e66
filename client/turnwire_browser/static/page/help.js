/** The card that tells what keys do: those of `shortcuts.js`, and of the message box. */

import { Dialog } from "./dialog.js";
import { element } from "./element.js";
import { words } from "./language.js";
import { IS_APPLE } from "./shortcuts.js";

export class HelpCard extends Dialog {
  /** @param {"enter" | "control"} sendKey */
  constructor(sendKey) {
    const [queue, interrupt, newLine] =
      sendKey === "enter"
        ? [["Enter"], [CONTROL, "Enter"], [shift(), "Enter"]]
        : [[CONTROL, "Enter"], [CONTROL, shift(), "Enter"], ["Enter"]];
    const { shortcuts } = words;
    super(
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
