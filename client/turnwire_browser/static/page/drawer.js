/** The side bar's place: a column where there is room, a drawer over the page where there is not. */

import { takesEscape } from "./keys.js";

const NARROW = matchMedia("(max-width: 50rem)");

export class Drawer {
  /**
   * @param {object} parts
   * @param {HTMLElement} parts.shell gets the class `drawn` while the drawer is open
   * @param {HTMLElement} parts.side
   * @param {HTMLElement} parts.chat what the drawer covers
   * @param {HTMLElement} parts.scrim the shade over it
   * @param {HTMLButtonElement} parts.button
   */
  constructor(parts) {
    this.parts = parts;
    const { button, scrim, side } = parts;
    button.addEventListener("click", () => this.open());
    scrim.addEventListener("click", () => this.close());
    side.addEventListener("keydown", (event) => {
      if (this.isOpen && takesEscape(event)) this.close();
    });
    NARROW.addEventListener("change", () => this.close());
  }

  /** Whether there is room for it beside the page. */
  get isColumn() {
    return !NARROW.matches;
  }

  get isOpen() {
    return this.parts.shell.classList.contains("drawn");
  }

  open() {
    const { button, chat, scrim, shell, side } = this.parts;
    shell.classList.add("drawn");
    scrim.hidden = false;
    chat.inert = true;
    button.setAttribute("aria-expanded", "true");
    side.focus();
  }

  close() {
    if (!this.isOpen) return;
    const { button, chat, scrim, shell } = this.parts;
    shell.classList.remove("drawn");
    scrim.hidden = true;
    chat.inert = false;
    button.setAttribute("aria-expanded", "false");
    button.focus();
  }
}
