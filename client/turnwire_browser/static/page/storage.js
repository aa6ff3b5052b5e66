/** What a tab remembers over a reload; a browser that refuses storage makes it forget, not fail. */

const PREFIX = "turnwire.";

/**
 * The remembered text, or undefined.
 *
 * @param {string} name
 * @returns {string | undefined}
 */
export function recall(name) {
  try {
    return sessionStorage.getItem(PREFIX + name) ?? undefined;
  } catch {
    return undefined;
  }
}

/**
 * Remember a text; an empty one is forgotten.
 *
 * @param {string} name
 * @param {string} text
 */
export function remember(name, text) {
  try {
    if (text) sessionStorage.setItem(PREFIX + name, text);
    else sessionStorage.removeItem(PREFIX + name);
  } catch {
    // Blocked or full: the page works on, a reload would forget.
  }
}
