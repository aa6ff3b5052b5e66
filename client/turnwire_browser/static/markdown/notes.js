// The notes at the end of a text: numbered by where they are first referred to; knows no Markdown.

import { spec } from "./elements.js";
import { Mount } from "./mount.js";

/** @typedef {import("./mount.js").Dresser} Dresser */
/** @typedef {import("./mount.js").ElementSpec} ElementSpec */

const REFERENCE = "note-ref";

let texts = 0; // with notes on this page: their ids must differ

export class Notes {
  /** @type {Map<string, ElementSpec>} by the label, of what is settled */ settled = new Map();
  /** @type {HTMLElement | null} behind all blocks, as soon as there is a note to show */ section = null;
  /** @type {Map<string, {note: ElementSpec, mount: Mount}>} */ #mounts = new Map();
  #list = document.createElement("ol");
  #prefix = "";
  #shown = "";

  /** @param {HTMLElement} container @param {Dresser} dresser */
  constructor(container, dresser) {
    this.container = container;
    this.dresser = dresser;
  }

  /** @param {Map<string, ElementSpec>} others of what is not settled yet */
  show(others) {
    if (!this.settled.size && !others.size && !this.section) return;
    /** @type {Map<string, Mount>} */ const wanted = new Map();
    const refer = (/** @type {Element} */ reference) => {
      const label = reference.getAttribute("data-note") ?? "";
      const note = this.settled.get(label) ?? others.get(label);
      if (note && !wanted.has(label)) wanted.set(label, this.#mount(label, note));
    };
    const references = [...this.container.getElementsByClassName(REFERENCE)];
    references.filter((reference) => !this.#list.contains(reference)).forEach(refer);
    // A note may refer to others: they come behind it.
    for (const { element } of wanted.values()) [...(element?.getElementsByClassName(REFERENCE) ?? [])].forEach(refer);
    this.#place(wanted);
  }

  /** @param {string} label @param {ElementSpec} note @returns {Mount} */
  #mount(label, note) {
    const known = this.#mounts.get(label);
    if (known?.note === note) return known.mount;
    const mount = known?.mount ?? new Mount(withBack(note), this.dresser);
    mount.show(withBack(note));
    this.#mounts.set(label, { note, mount });
    return mount;
  }

  /** @param {Map<string, Mount>} wanted in their order */
  #place(wanted) {
    if (!wanted.size) {
      this.section?.remove();
      this.section = null;
      this.#shown = "";
      return;
    }
    const labels = [...wanted.keys()];
    const order = JSON.stringify(labels);
    if (order !== this.#shown) {
      this.#list.replaceChildren(...[...wanted.values()].map(({ node }) => node));
      this.section ??= this.#begin();
      this.#shown = order;
    }
    /** @type {Set<string>} */ const seen = new Set();
    for (const reference of this.container.getElementsByClassName(REFERENCE)) {
      const label = reference.getAttribute("data-note") ?? "";
      const id = `${this.#prefix}-${labels.indexOf(label) + 1}`;
      const link = reference.firstElementChild;
      const number = String(labels.indexOf(label) + 1);
      if (link && link.textContent !== number) link.textContent = number;
      link?.setAttribute("href", `#${id}`);
      if (seen.has(label)) reference.removeAttribute("id");
      else reference.setAttribute("id", `${id}-from`);
      const item = seen.has(label) ? undefined : wanted.get(label)?.element;
      item?.setAttribute("id", id);
      item?.getElementsByClassName("note-back")[0]?.setAttribute("href", `#${id}-from`);
      seen.add(label);
    }
  }

  #begin() {
    this.#prefix ||= `note-${(texts += 1)}`;
    const section = document.createElement("section");
    section.setAttribute("class", "notes");
    section.setAttribute("role", "doc-endnotes");
    section.append(this.#list);
    this.container.append(section);
    return section;
  }
}

/** A note with the way back to where it is referred to. @param {ElementSpec} note */
function withBack(note) {
  const back = spec("a", { class: "note-back", role: "doc-backlink" }, ["↩"], "back");
  const { children } = note;
  const last = children[children.length - 1];
  if (typeof last !== "object" || last.tag !== "p") return { ...note, children: [...children, back] };
  const paragraph = { ...last, children: [...last.children, " ", back] };
  return { ...note, children: [...children.slice(0, -1), paragraph] };
}
