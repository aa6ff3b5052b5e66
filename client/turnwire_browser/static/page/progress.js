/** How far a tool call is, as it reports: a bar and its words. */

import { element, setText } from "./element.js";
import { words } from "./language.js";

export class ProgressView {
  constructor() {
    this.bar = element("progress", { max: 1, "aria-label": words.tool.progress });
    this.words = element("span", { dir: "auto" });
    this.percent = element("span", { class: "progress-percent", "aria-hidden": "true" });
    this.element = element("div", { class: "progress", hidden: true }, this.words, this.percent, this.bar);
  }

  /** @param {{ message: string, fraction?: number } | undefined} progress none: nothing to show */
  update(progress) {
    this.element.hidden = progress === undefined;
    if (!progress) return;
    const { message, fraction } = progress;
    setText(this.words, message);
    setText(this.percent, fraction === undefined ? "" : `${Math.round(fraction * 100)} %`);
    // Without a value the bar is indeterminate: something moves, nobody knows how far.
    if (fraction === undefined) this.bar.removeAttribute("value");
    else this.bar.value = fraction;
  }
}
