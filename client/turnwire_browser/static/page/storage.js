/**
 * What a tab remembers over a reload, and what the browser keeps; where storage is refused the page
 * forgets, and does not fail.
 */

const PREFIX = "turnwire.";

/**
 * The remembered text, or undefined.
 *
 * @param {string} name
 * @returns {string | undefined}
 */
export function recall(name) {
  return read(() => sessionStorage, name);
}

/**
 * Remember a text; an empty one is forgotten.
 *
 * @param {string} name
 * @param {string} text
 */
export function remember(name, text) {
  write(() => sessionStorage, name, text);
}

/**
 * The text that this browser keeps, for all its tabs, or undefined.
 *
 * @param {string} name
 * @returns {string | undefined}
 */
export function kept(name) {
  return read(() => localStorage, name);
}

/**
 * Have the browser keep a text; an empty one is forgotten.
 *
 * @param {string} name
 * @param {string} text
 */
export function keep(name, text) {
  write(() => localStorage, name, text);
}

/**
 * @param {() => Storage} place a browser may refuse to name it
 * @param {string} name
 */
function read(place, name) {
  try {
    return place().getItem(PREFIX + name) ?? undefined;
  } catch {
    return undefined;
  }
}

/**
 * @param {() => Storage} place
 * @param {string} name
 * @param {string} text
 */
function write(place, name, text) {
  try {
    if (text) place().setItem(PREFIX + name, text);
    else place().removeItem(PREFIX + name);
  } catch {
    // Blocked or full: the page works on, a reload would forget.
  }
}
