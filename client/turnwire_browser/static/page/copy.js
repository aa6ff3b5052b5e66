/** A button that copies a text to the clipboard and says that it did. */

import { element, icon } from "./element.js";
import { words } from "./language.js";

const CONFIRMED_MILLISECONDS = 1600;

/**
 * @param {string} label what is copied, for the button's name
 * @param {() => string} read the text, asked for at the click
 * @returns {HTMLButtonElement}
 */
export function copyButton(label, read) {
  const word = element("span", {}, words.copy.copy);
  const button = element(
    "button",
    { type: "button", class: "copy", "aria-label": label, onclick: () => void copy() },
    icon("copy"),
    word,
  );
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;

  async function copy() {
    const done = await write(read());
    word.textContent = done ? words.copy.copied : words.copy.refused;
    button.firstElementChild?.replaceWith(icon(done ? "check" : "copy"));
    clearTimeout(timer);
    timer = setTimeout(() => {
      word.textContent = words.copy.copy;
      button.firstElementChild?.replaceWith(icon("copy"));
    }, CONFIRMED_MILLISECONDS);
  }
  return button;
}

/** @param {string} text */
async function write(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return writeBySelection(text);
  }
}

/**
 * The way for pages that are not a secure context, such as http:// on a local network.
 *
 * @param {string} text
 */
function writeBySelection(text) {
  const area = element("textarea", { class: "visually-hidden", "aria-hidden": "true" });
  area.value = text;
  const focused = document.activeElement;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (focused instanceof HTMLElement) focused.focus();
  return done;
}
