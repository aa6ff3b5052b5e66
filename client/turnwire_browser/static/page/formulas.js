/** Formulas in TeX as MathML, by KaTeX: the browser shows that without styles or fonts. Loaded lazily. */

import katex from "katex";

/**
 * @param {string} tex what is not TeX is shown as it is
 * @param {HTMLElement} target
 * @param {boolean} isDisplay on a line of its own
 */
export function writeFormula(tex, target, isDisplay) {
  try {
    // Links, classes and images of TeX stay off; a macro cannot make it endless.
    katex.render(tex, target, {
      output: "mathml",
      displayMode: isDisplay,
      throwOnError: true,
      strict: "ignore",
      trust: false,
      maxExpand: 500,
      maxSize: 50,
    });
  } catch {
    target.textContent = tex;
    target.classList.add("unread");
  }
}
