/** The files of the message being written; they upload at once and outlive a reload when they have. */

import { setText } from "./element.js";
import { words } from "./language.js";
import { recall, remember } from "./storage.js";
import { mayBeText } from "./textfile.js";
import { TYPES, Upload } from "./upload.js";
import { countOf } from "./words.js";

/** @typedef {import("./content.js").Enclosure} Enclosure */

export class Tray {
  /** @type {Map<string, Upload[]>} what uploads goes on while another conversation is on the screen */
  #slots = new Map();
  #slot = "new";
  #depot;
  #changed;
  #inline;

  /**
   * @param {{ list: HTMLElement, note: HTMLElement, field: HTMLElement }} elements `note`: for what
   *   there is to say; `field`: gets the focus when the last file goes
   * @param {import("./upload.js").Depot} depot
   * @param {() => void} changed
   * @param {(text: string) => void} inline a file's text is to be a part of what is being written
   */
  constructor({ list, note, field }, depot, changed, inline) {
    this.list = list;
    this.note = note;
    this.field = field;
    this.#depot = depot;
    this.#changed = changed;
    this.#inline = inline;
    addEventListener("beforeunload", (event) => {
      // The page cannot keep bytes over a reload: the browser asks first.
      if ([...this.#slots.values()].flat().some(({ state }) => state === "uploading")) event.preventDefault();
    });
  }

  /** @returns {"empty" | "ready" | "uploading" | "failed"} the worst of its files */
  get state() {
    const states = this.#uploads.map(({ state }) => state);
    if (states.includes("failed")) return "failed";
    if (states.includes("uploading")) return "uploading";
    return states.length > 0 ? "ready" : "empty";
  }

  /** @param {string} slot of the draft */
  open(slot) {
    this.#slot = slot;
    if (!this.#slots.has(slot)) {
      this.#slots.set(slot, []);
      this.putBack(parse(recall(`files.${slot}`)));
    }
    this.#update();
  }

  /** @param {string} slot the draft's new name */
  rename(slot) {
    remember(`files.${this.#slot}`, "");
    this.#slots.set(slot, this.#uploads);
    this.#slots.delete(this.#slot);
    this.#slot = slot;
    this.#update();
  }

  /**
   * Take files, or say why not.
   *
   * @param {Iterable<File>} files
   */
  add(files) {
    const all = [...files];
    const taken = all.filter((file) => TYPES.includes(file.type) || mayBeText(file));
    const [other] = all.filter((file) => !taken.includes(file));
    const others = all.length - taken.length;
    const { refusedOne, refusedMany } = words.files;
    const refused = others === 1 ? refusedOne(other?.name ?? "") : refusedMany(countOf(others));
    this.say(others > 0 ? refused : "");
    const uploads = taken.map((file) => this.#upload(file));
    this.#uploads.push(...uploads);
    for (const upload of uploads) void upload.start();
    this.#update();
  }

  /** @param {readonly Enclosure[]} attachments that were uploaded before */
  putBack(attachments) {
    const known = new Set(this.#uploads.map(({ attachment }) => JSON.stringify(attachment)));
    const missing = attachments.filter((attachment) => !known.has(JSON.stringify(attachment)));
    this.#uploads.unshift(...missing.map((attachment) => this.#upload(attachment)));
    this.#update();
  }

  /** Hand over what is ready, for a message. @returns {Enclosure[]} */
  take() {
    const uploads = this.#uploads;
    this.#slots.set(this.#slot, []);
    for (const upload of uploads) upload.close();
    this.#update();
    return uploads.flatMap(({ attachment }) => attachment ?? []);
  }

  /** @param {string} note none: "" */
  say(note) {
    setText(this.note, note);
    this.note.hidden = note === "";
  }

  get #uploads() {
    return this.#slots.get(this.#slot) ?? [];
  }

  /** @param {File | Enclosure} what */
  #upload(what) {
    return new Upload(what, this.#depot, {
      changed: () => this.#update(),
      remove: (upload) => this.#remove(upload),
      inline: (upload) => {
        const { attachment } = upload;
        this.#remove(upload);
        if (attachment?.type === "text_file") this.#inline(attachment.text);
      },
    });
  }

  /** @param {Upload} upload */
  #remove(upload) {
    const hadFocus = upload.element.contains(document.activeElement);
    upload.close();
    for (const [name, uploads] of this.#slots) {
      this.#slots.set(name, uploads.filter((other) => other !== upload));
    }
    this.#update();
    if (hadFocus) (this.list.querySelector("button") ?? this.field).focus();
  }

  #update() {
    const uploads = this.#uploads;
    this.list.hidden = uploads.length === 0;
    uploads.forEach(({ element }, index) => {
      if (this.list.children[index] !== element) {
        this.list.insertBefore(element, this.list.children[index] ?? null);
      }
    });
    while (this.list.children.length > uploads.length) this.list.lastElementChild?.remove();
    for (const [slot, all] of this.#slots) {
      const ready = all.flatMap(({ attachment }) => attachment ?? []);
      remember(`files.${slot}`, ready.length > 0 ? JSON.stringify(ready) : "");
    }
    this.#changed();
  }
}

/**
 * @param {string | undefined} text
 * @returns {Enclosure[]}
 */
function parse(text) {
  try {
    const attachments = JSON.parse(text ?? "[]");
    return Array.isArray(attachments) ? attachments : [];
  } catch {
    return [];
  }
}
