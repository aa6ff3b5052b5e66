/** A file on its way to the service, as an entry of the tray: it uploads, is ready, or has failed. */

import { TurnwireError } from "../turnwire/turnwire.js";
import { isStored, nameOf } from "./content.js";
import { element, icon, setText } from "./element.js";
import { mayBeText, textOf } from "./textfile.js";
import { words } from "./language.js";
import { fileSize } from "./words.js";

/** @typedef {import("./content.js").Attachment} Attachment */
/** @typedef {import("./content.js").Enclosure} Enclosure */

/**
 * @typedef {object} Depot Where files go.
 * @property {import("../turnwire/turnwire.js").Wire["upload"]} upload
 * @property {() => number | undefined} maxBytes of one file, as far as the service has said
 * @property {() => number} maxTextBytes of one text file, which goes with the message
 * @property {import("./files.js").Files} files
 */

/** What the service takes as a file of its own (PROTOCOL.md "Content"). */
export const TYPES = ["image/png", "image/jpeg", "image/gif", "image/webp", "application/pdf"];

export class Upload {
  /** @type {"uploading" | "ready" | "failed"} */
  state = "uploading";
  /** @type {Enclosure | undefined} what a message refers to, once it is there */
  attachment;
  /** @type {File | undefined} none: it was there before a reload */
  #file;
  #depot;
  #actions;
  #aborting = new AbortController();
  /** Whether its bytes are held open. */
  #isOpen = false;

  /**
   * @param {File | Enclosure} what
   * @param {Depot} depot
   * @param {{ changed(): void, remove(upload: Upload): void, inline(upload: Upload): void }} actions
   *   `inline`: its text is to be a part of what is being written
   */
  constructor(what, depot, actions) {
    this.#depot = depot;
    this.#actions = actions;
    if (what instanceof File) this.#file = what;
    else this.attachment = what;
    const { name, isImage, bytes } = described(what);
    this.size = bytes === undefined ? "" : fileSize(bytes);
    const inline = () => actions.inline(this);
    this.inline = element("button", { type: "button", hidden: true, onclick: inline }, words.files.inline);
    this.note = element("small", {});
    this.again = element("button", { type: "button", onclick: () => void this.start() }, words.action.tryAgain);
    // It may not be what its name says.
    const undraw = () => this.thumbnail.replaceWith(icon("file"));
    this.thumbnail = element("img", { alt: "", onerror: undraw });
    const remove = () => actions.remove(this);
    this.element = element(
      "li",
      { class: "tray-item" },
      isImage ? this.thumbnail : icon("file"),
      element(
        "div",
        { class: "tray-words" },
        element("span", { class: "file-name", dir: "auto", title: name }, name),
        this.note,
      ),
      this.again,
      this.inline,
      element(
        "button",
        { type: "button", class: "tray-remove", "aria-label": words.files.remove(name), onclick: remove },
        icon("close"),
      ),
    );
    this.#become(this.attachment ? "ready" : "uploading");
    if (isImage) void this.#preview();
  }

  /** Begin; once more, if it has failed. */
  async start() {
    if (!this.#file || this.attachment) return;
    this.#become("uploading");
    const { signal } = this.#aborting;
    const { upload, files } = this.#depot;
    if (isText(this.#file)) return this.#read(this.#file);
    try {
      const attachment = await upload(this.#file, { name: this.#file.name, signal });
      this.#isOpen = true;
      // What was just sent away need not be fetched to be shown.
      void files.open(attachment, this.#file);
      this.attachment = attachment;
      this.#become("ready");
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof TurnwireError)) throw error;
      this.#become("failed", this.#reason(error));
      this.again.hidden = !error.retryable;
    }
  }

  /** @param {File} file of text: that is all there is to do */
  async #read(file) {
    const maxBytes = this.#depot.maxTextBytes();
    if (file.size > maxBytes) return this.#become("failed", words.files.tooLarge(fileSize(maxBytes)));
    const text = await textOf(file);
    if (text === undefined) return this.#become("failed", words.files.notWhatItSays);
    this.attachment = { type: "text_file", name: file.name || words.files.file, text };
    this.#become("ready");
  }

  /** It is in a message now, or in none. */
  close() {
    this.#aborting.abort();
    this.element.remove();
    if (this.#isOpen && isStored(this.attachment)) this.#depot.files.close(this.attachment);
    if (this.#file) URL.revokeObjectURL(this.thumbnail.src);
  }

  async #preview() {
    if (this.#file) {
      this.thumbnail.src = URL.createObjectURL(this.#file);
    } else if (isStored(this.attachment)) {
      this.thumbnail.src = await this.#depot.files.open(this.attachment).catch(() => "");
      this.#isOpen = true;
    }
  }

  /** @param {TurnwireError} error */
  #reason({ code, message }) {
    const maxBytes = this.#depot.maxBytes();
    if (code === "too_large" && maxBytes) return words.files.tooLarge(fileSize(maxBytes));
    return code === "bad_command" ? words.files.notWhatItSays : message;
  }

  /**
   * @param {"uploading" | "ready" | "failed"} state
   * @param {string} [why]
   */
  #become(state, why) {
    this.state = state;
    this.element.dataset.state = state;
    const notes = {
      uploading: words.files.uploading,
      ready: this.size,
      failed: words.files.failed(why ?? ""),
    };
    setText(this.note, notes[state]);
    this.again.hidden = true;
    this.inline.hidden = this.attachment?.type !== "text_file";
    if (state === "failed") this.element.scrollIntoView({ block: "nearest" });
    this.#actions.changed();
  }
}

/** @param {File} file */
function isText(file) {
  return !TYPES.includes(file.type) && mayBeText(file);
}

/** @param {File | Enclosure} what */
function described(what) {
  if (what instanceof File) {
    return { name: what.name || words.files.file, isImage: what.type.startsWith("image/"), bytes: what.size };
  }
  if (what.type === "text_file") {
    return { name: what.name, isImage: false, bytes: new Blob([what.text]).size };
  }
  if (!isStored(what)) return { name: nameOf(what), isImage: false, bytes: undefined };
  return { name: nameOf(what), isImage: what.type === "image", bytes: what.bytes };
}
