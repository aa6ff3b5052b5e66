/** What a key press means where one writes; input methods are respected. */

/** Key code of keys that an input method takes for itself (UI Events §B.2.1). */
const IN_COMPOSITION = 229;

/** @param {KeyboardEvent} event */
export function isComposing(event) {
  // Safari ends the composition before it reports the key that ended it: only the code tells.
  return event.isComposing || event.keyCode === IN_COMPOSITION;
}

/**
 * Enter, which sends; with Shift it breaks the line.
 *
 * @param {KeyboardEvent} event
 */
export function isEnter(event) {
  return event.key === "Enter" && !event.shiftKey && !isComposing(event);
}

/**
 * Whether a key means to leave what is open. It is taken then: Escape also stops the answer.
 *
 * @param {KeyboardEvent} event
 */
export function takesEscape(event) {
  if (event.key !== "Escape" || isComposing(event)) return false;
  event.preventDefault();
  event.stopPropagation();
  return true;
}
