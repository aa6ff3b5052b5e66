/** What a key press means where one writes; input methods are respected. Which key sends is set once. */

/** Key code of keys that an input method takes for itself (UI Events §B.2.1). */
const IN_COMPOSITION = 229;

/** @type {"enter" | "control"} */
let sendKey = "enter";

/** @param {"enter" | "control"} key that sends from now on: Enter, or Control (or Command) with it */
export function sendWith(key) {
  sendKey = key;
}

/** @param {KeyboardEvent} event */
export function isComposing(event) {
  // Safari ends the composition before it reports the key that ended it: only the code tells.
  return event.isComposing || event.keyCode === IN_COMPOSITION;
}

/**
 * Enter, in a field of one line.
 *
 * @param {KeyboardEvent} event
 */
export function isEnter(event) {
  return event.key === "Enter" && !event.shiftKey && !isComposing(event);
}

/**
 * How a key sends what is written in a field of several lines; undefined: it does not.
 *
 * @param {KeyboardEvent} event
 * @returns {"queue" | "interrupt" | undefined} `interrupt`: and what is being answered ends
 */
export function sends(event) {
  if (event.key !== "Enter" || isComposing(event)) return undefined;
  const withControl = event.ctrlKey || event.metaKey;
  if (sendKey === "enter") return event.shiftKey ? undefined : withControl ? "interrupt" : "queue";
  if (!withControl) return undefined;
  return event.shiftKey ? "interrupt" : "queue";
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
