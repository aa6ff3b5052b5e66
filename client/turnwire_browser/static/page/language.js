/** The language of the page: which there are, which one is spoken, and its words on the elements of index.html. */

import { english } from "./languages/en.js";

/** @typedef {import("./languages/en.js").Words} Words */

/**
 * A new language: a module beside the others, and its line here. Only the one that is spoken is loaded.
 *
 * @type {Record<string, { name: string, load: () => Promise<Words> }>}
 */
export const LANGUAGES = {
  en: { name: "English", load: async () => english },
  de: { name: "Deutsch", load: async () => (await import("./languages/de.js")).german },
  ja: { name: "日本語", load: async () => (await import("./languages/ja.js")).japanese },
};

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
  const loaded = await LANGUAGES[tag]?.load().catch(() => undefined);
  words = loaded ?? english;
  spoken = loaded ? tag : "en";
  document.documentElement.lang = spoken;
  for (const element of document.querySelectorAll("[data-say]")) label(element);
}

/**
 * The language for somebody who has chosen none: the first of the browser's that there is.
 *
 * @param {readonly string[]} wanted tags, as of `navigator.languages`
 */
export function languageFor(wanted) {
  const known = wanted.map((tag) => tag.toLowerCase().split("-")[0] ?? "");
  return known.find((tag) => tag in LANGUAGES) ?? "en";
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
