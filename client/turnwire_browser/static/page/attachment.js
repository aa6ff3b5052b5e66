/** The views of an image and of a document that belong to a message or a result. */

import { ELSEWHERE } from "../markdown/elements.js";
import { isStored, nameOf } from "./content.js";
import { element, icon, setText } from "./element.js";
import { Folded } from "./folded.js";
import { words } from "./language.js";
import { countOf, fileSize } from "./words.js";

/** @typedef {import("./content.js").Attachment} Attachment */
/** @typedef {import("./content.js").Enclosure} Enclosure */
/** @typedef {import("./files.js").Files} Files */

/** Several of them, drawn anew when they are others. */
export class AttachmentsView {
  /** @type {readonly Enclosure[]} */
  #shown = [];
  /** @type {{ element: HTMLElement, remove(): void }[]} */
  #views = [];

  /** @param {Files} files */
  constructor(files) {
    this.files = files;
    this.element = element("div", { class: "attachments", hidden: true });
  }

  /** @param {readonly Enclosure[]} attachments */
  update(attachments) {
    if (sameFiles(attachments, this.#shown)) return;
    const old = this.#views;
    this.#shown = attachments;
    this.#views = attachments.map((attachment) => viewOf(attachment, this.files));
    this.element.hidden = attachments.length === 0;
    this.element.replaceChildren(...this.#views.map((view) => view.element));
    for (const view of old) view.remove();
  }

  remove() {
    this.update([]);
  }
}

/** An image: loading, shown (a click opens it in full), or failed with a way to try again. */
class ImageView {
  #attachment;
  #files;
  #isOpen = false;
  /** A long conversation has many: only those that are scrolled to are fetched. */
  #seen;

  /**
   * @param {Attachment} attachment
   * @param {Files} files
   */
  constructor(attachment, files) {
    this.#attachment = attachment;
    this.#files = files;
    const failed = () => this.#become("failed");
    this.image = element("img", {
      alt: nameOf(attachment),
      onload: () => this.#become("shown"),
      onerror: failed,
    });
    this.link = element("a", { target: "_blank", title: words.files.openInFull }, this.image);
    this.note = element("span", { class: "picture-note" });
    this.again = element("button", { type: "button", onclick: () => void this.#load() }, words.action.tryAgain);
    this.element = element("figure", { class: "picture" }, this.link, this.note, this.again);
    this.#become("loading");
    const seen = (/** @type {IntersectionObserverEntry[]} */ entries) => {
      if (!entries.some(({ isIntersecting }) => isIntersecting)) return;
      this.#seen.disconnect();
      void this.#load();
    };
    this.#seen = new IntersectionObserver(seen);
    this.#seen.observe(this.element);
  }

  remove() {
    this.#seen.disconnect();
    this.element.remove();
    this.#close();
  }

  async #load() {
    this.#become("loading");
    this.#close();
    this.#isOpen = true;
    try {
      const url = await this.#files.open(this.#attachment);
      this.link.href = this.image.src = url;
    } catch {
      this.#isOpen = false;
      this.#become("failed");
    }
  }

  #close() {
    if (this.#isOpen) this.#files.close(this.#attachment);
    this.#isOpen = false;
  }

  /** @param {"loading" | "shown" | "failed"} state */
  #become(state) {
    this.element.dataset.state = state;
    const name = nameOf(this.#attachment);
    this.link.hidden = state !== "shown";
    this.again.hidden = state !== "failed";
    this.note.hidden = state === "shown";
    setText(this.note, state === "failed" ? words.files.notLoaded(name) : words.files.loadingName(name));
  }
}

/** A document: a chip that saves it. */
class DocumentView {
  #attachment;
  #files;

  /**
   * @param {Attachment} attachment
   * @param {Files} files
   */
  constructor(attachment, files) {
    this.#attachment = attachment;
    this.#files = files;
    this.note = element("small", {}, describe(attachment));
    this.element = element(
      "button",
      { type: "button", class: "file", title: words.files.save, onclick: () => void this.#save() },
      icon("file"),
      element("span", { class: "file-name", dir: "auto" }, nameOf(attachment)),
      this.note,
    );
  }

  remove() {
    this.element.remove();
  }

  async #save() {
    setText(this.note, words.files.loading);
    try {
      const href = await this.#files.open(this.#attachment);
      element("a", { href, download: this.#attachment.name ?? "document.pdf" }).click();
      this.#files.close(this.#attachment);
      setText(this.note, describe(this.#attachment));
    } catch {
      setText(this.note, words.files.notLoadedTry);
    }
  }
}

/** An image or a document that is elsewhere: a link, which nothing but a click follows. */
class LinkView {
  /** @param {import("./content.js").Link} link */
  constructor(link) {
    const parts = [icon("file"), element("span", { class: "file-name", dir: "auto" }, nameOf(link))];
    const { url } = link;
    this.element = url?.startsWith("https://")
      ? element("a", { class: "file", href: url, ...ELSEWHERE, title: url }, ...parts)
      : element("span", { class: "file", title: link.file }, ...parts);
  }

  remove() {
    this.element.remove();
  }
}

/** A text file: its name, behind which its text is. */
class TextFileView {
  /** @param {import("./textfile.js").TextFile} file */
  constructor({ name, text }) {
    const lines = words.files.lines(countOf(text.split("\n").length));
    this.element = new Folded(`${name} · ${lines}`, () => text).element;
    this.element.classList.add("text-file");
  }

  remove() {
    this.element.remove();
  }
}

/**
 * @param {Enclosure} attachment
 * @param {Files} files
 */
function viewOf(attachment, files) {
  if (attachment.type === "text_file") return new TextFileView(attachment);
  if (!isStored(attachment)) return new LinkView(attachment);
  const isImage = attachment.type === "image";
  return isImage ? new ImageView(attachment, files) : new DocumentView(attachment, files);
}

/** @param {Attachment} attachment */
function describe({ media_type, bytes }) {
  return `${(media_type.split("/")[1] ?? "").toUpperCase()} · ${fileSize(bytes)}`;
}

/**
 * @param {readonly Enclosure[]} one
 * @param {readonly Enclosure[]} other
 */
function sameFiles(one, other) {
  return one.length === other.length && one.every((each, index) => keyOf(each) === keyOf(other[index]));
}

/** @param {Enclosure | undefined} enclosure */
function keyOf(enclosure) {
  if (enclosure?.type === "text_file") return `${enclosure.name}\n${enclosure.text}`;
  return isStored(enclosure) ? enclosure.blob : (enclosure?.url ?? enclosure?.file);
}
