/** The language of the page: which one is spoken, and its words on the elements of index.html. */

import { LANGUAGES } from "./languages.js";
import { english } from "./languages/en.js";

/** @typedef {import("./languages/en.js").Words} Words */

/** What the page says; English until `speak`. To be read where it is said, not when a module is loaded. */
export let words = english;

/** The tag of the language that is spoken, for dates. */
export let spoken = "en";

/**
 * Speak a language from now on. Call it before anything is shown; to change it later, load the page again.
 *
 * @param {string} tag one of `LANGUAGES`; another one, or one whose words do not come, is English
 */
export async function speak(tag) {
  const loaded = await LANGUAGES[tag]?.load?.().catch(() => undefined);
  words = loaded ?? english;
  spoken = loaded ? tag : "en";
  document.documentElement.lang = spoken;
  for (const element of document.querySelectorAll("[data-say]")) label(element);
}

/**
 * Give an element of index.html its words: `data-say` names them by where they go, as in
 * `text:bar.newChat title:bar.settings`.
 *
 * @param {Element} element
 */
function label(element) {
  for (const part of element.getAttribute("data-say")?.split(" ") ?? []) {
    const [place = "", path = ""] = part.split(":");
    const [group = "", name = ""] = path.split(".");
    const said = /** @type {Record<string, Record<string, unknown>>} */ (/** @type {unknown} */ (words))[group]?.[name];
    if (typeof said !== "string") throw new Error(`There are no words ${path}`);
    if (place === "text") element.textContent = said;
    else element.setAttribute(place, said);
  }
}
