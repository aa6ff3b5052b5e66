/**
 * What markdown-it asks of the package `entities`, answered by the browser: it knows the names of characters already, and
 * the package's tables are a fifth of the page's script. The build puts this in the package's place.
 */

const MOST_KNOWN = 10_000;
/** @type {Map<string, string>} */
const known = new Map();

/**
 * @param {string} reference to a character by its name, from `&` to `;`
 * @returns {string} what HTML has for it; itself, where it has nothing
 */
export function decodeHTMLStrict(reference) {
  const found = known.get(reference);
  if (found !== undefined) return found;
  // Behind a letter, because white space at its beginning is no text of a document.
  const text = new DOMParser().parseFromString(`x${reference}`, "text/html").body.textContent ?? "";
  const read = text.slice(1);
  // A name that only begins with a known one would be read as that and the rest.
  const decoded = read.endsWith(";") && reference !== "&semi;" ? reference : read;
  if (known.size === MOST_KNOWN) known.clear();
  known.set(reference, decoded);
  return decoded;
}
