/** A file that a tool of the provider made: a chip that fetches and saves it. */

import { element, icon, setText } from "./element.js";
import { words } from "./language.js";
import { saveAs } from "./saving.js";

/** @typedef {(id: string) => Promise<File>} FetchFile */

/**
 * @param {string} id
 * @param {number} number which of its result: what it is called is known when it has come
 * @param {FetchFile} fetchFile
 */
export function madeFile(id, number, fetchFile) {
  const name = element("span", { class: "file-name", dir: "auto" }, words.files.made(number));
  const note = element("small", {});

  async function save() {
    setText(note, words.files.loading);
    try {
      const file = await fetchFile(id);
      saveAs(file, file.name);
      setText(name, file.name);
      setText(note, "");
    } catch {
      setText(note, words.files.notLoadedTry);
    }
  }
  return element("button", { type: "button", class: "file", title: words.files.save, onclick: () => void save() }, icon("file"), name, note);
}
