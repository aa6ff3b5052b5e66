/** Handing bytes to the browser as a file to keep. */

import { element } from "./element.js";

/** The browser reads them after the click; nothing says when it has. */
const KEPT_MILLISECONDS = 60_000;

/**
 * @param {Blob} bytes
 * @param {string} name of the file
 */
export function saveAs(bytes, name) {
  const href = URL.createObjectURL(bytes);
  element("a", { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), KEPT_MILLISECONDS);
}
