/** The languages that there are; knows what none of them says. */

/** @typedef {import("./languages/en.js").Words} Words */

/**
 * A new language: a module in languages/, and its line here. Only the one that is spoken is loaded, beside English, which the
 * page always has.
 *
 * @type {Record<string, { name: string, load?: () => Promise<Words> }>}
 */
export const LANGUAGES = {
  en: { name: "English" },
  de: { name: "Deutsch", load: async () => (await import("./languages/de.js")).german },
  ja: { name: "日本語", load: async () => (await import("./languages/ja.js")).japanese },
};

/**
 * The language for somebody who has chosen none: the first of the browser's that there is.
 *
 * @param {readonly string[]} wanted tags, as of `navigator.languages`
 */
export function languageFor(wanted) {
  const known = wanted.map((tag) => tag.toLowerCase().split("-")[0] ?? "");
  return known.find((tag) => tag in LANGUAGES) ?? "en";
}
