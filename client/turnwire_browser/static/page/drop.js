/** Files dragged over the page: where they may fall, and that the browser does not open them. */

import { element } from "./element.js";
import { words } from "./language.js";

/**
 * @param {HTMLElement} place that shows where they may fall
 * @param {(files: FileList) => void} take
 */
export function takeDrops(place, take) {
  const target = element(
    "div",
    { class: "drop", hidden: true, "aria-hidden": "true" },
    element("span", {}, words.composer.drop),
  );
  place.append(target);

  /** @param {DragEvent} event */
  const hasFiles = ({ dataTransfer }) => dataTransfer?.types.includes("Files") ?? false;
  addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    target.hidden = false;
  });
  addEventListener("dragleave", (event) => {
    // Into nothing: out of the window.
    if (event.relatedTarget === null) target.hidden = true;
  });
  addEventListener("drop", (event) => {
    target.hidden = true;
    if (!hasFiles(event)) return;
    event.preventDefault();
    if (event.dataTransfer) take(event.dataTransfer.files);
  });
}
