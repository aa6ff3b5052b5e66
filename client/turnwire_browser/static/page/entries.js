/** The list in the side bar, by age: of thousands it builds those in sight, and a little further; knows no service. */

import { ageOf } from "./ages.js";
import { element } from "./element.js";
import { EntryView } from "./entry.js";

/** @typedef {import("./library.js").Head} Head */
/** @typedef {import("./entry.js").Actions} Actions */
/** @typedef {Head | string} Row a conversation, or the heading of a group */

/**
 * @typedef {object} Slice Some rows, one after another: they are all there, or none is.
 * @property {HTMLElement} element as high as the rows would be, where none is there
 * @property {readonly Row[]} rows
 * @property {boolean} isNear in sight, or nearly
 */

const SLICE = 50;
/** What is that far out of sight is built: about as much as the list shows. */
const NEAR = "800px";

export class EntryList {
  element = element("div", { class: "entries", role: "list" });
  #actions;
  /** @type {readonly Head[]} */
  #heads = [];
  /** @type {string | undefined} */
  #current;
  /** @type {Slice[]} */
  #slices = [];
  /** Those that are built. @type {Map<string, EntryView>} */
  #views = new Map();
  /** The headings of the groups, by their words. @type {Map<string, HTMLElement>} */
  #groups = new Map();
  #seen;

  /**
   * @param {HTMLElement} container that it scrolls in
   * @param {Omit<Actions, "opens">} actions
   */
  constructor(container, actions) {
    this.#actions = {
      ...actions,
      opens: (/** @type {EntryView} */ opening) => {
        for (const other of this.#views.values()) if (other !== opening) other.close();
      },
    };
    this.#seen = new IntersectionObserver((changes) => this.#look(changes), { root: container, rootMargin: NEAR });
  }

  /**
   * @param {readonly Head[]} heads newest first
   * @param {string | undefined} current which is on the screen
   */
  draw(heads, current) {
    this.#heads = heads;
    this.#current = current;
    // A field that moves would lose the focus, and with it what is being written.
    if (![...this.#views.values()].some(({ isRenaming }) => isRenaming)) this.#build();
  }

  #build() {
    const rows = rowsOf(this.#heads);
    const count = Math.ceil(rows.length / SLICE);
    for (const { element } of this.#slices.splice(count)) {
      this.#seen.unobserve(element);
      element.remove();
    }
    for (let index = 0; index < count; index += 1) {
      const slice = (this.#slices[index] ??= this.#append(index));
      const had = slice.rows.length;
      slice.rows = rows.slice(index * SLICE, (index + 1) * SLICE);
      if (slice.rows.length !== had) this.#reserve(slice, `calc(${slice.rows.length} * var(--row))`);
    }
    this.#fill();
  }

  /**
   * @param {number} index
   * @returns {Slice}
   */
  #append(index) {
    const made = element("div", { class: "entry-slice", role: "presentation" });
    this.element.append(made);
    this.#seen.observe(made);
    // The first is seen at once; the observer tells of the others.
    return { element: made, rows: [], isNear: index === 0 };
  }

  /** @param {IntersectionObserverEntry[]} changes */
  #look(changes) {
    for (const { target, isIntersecting, boundingClientRect } of changes) {
      const slice = this.#slices.find(({ element }) => element === target);
      if (!slice) continue;
      slice.isNear = isIntersecting;
      if (!isIntersecting && target.childElementCount) this.#reserve(slice, `${boundingClientRect.height}px`);
    }
    this.#fill();
  }

  /**
   * Keep the room of its rows.
   *
   * @param {Slice} slice
   * @param {string} height in CSS
   */
  #reserve({ element }, height) {
    element.style.setProperty("--height", height);
  }

  /** Have the rows of the slices there that are near; and of none else, but where somebody is at it. */
  #fill() {
    const focused = document.activeElement;
    const built = this.#slices.filter(({ element, isNear }) => isNear || isUsed(element));
    const rows = new Set(built.flatMap((slice) => slice.rows).map((row) => (typeof row === "string" ? row : row.conversation)));
    // First what goes: all behind it would be moved otherwise.
    for (const [id, view] of this.#views) {
      if (rows.has(id)) continue;
      view.element.remove();
      this.#views.delete(id);
    }
    for (const [age, row] of this.#groups) if (!rows.has(age)) row.remove();
    for (const slice of this.#slices) slice.element.classList.toggle("empty", !built.includes(slice));
    for (const { element, rows } of built) {
      /** @type {ChildNode | null} */
      let place = element.firstChild;
      for (const row of rows) {
        const shown = typeof row === "string" ? this.#group(row) : this.#entry(row);
        if (place === shown) place = shown.nextSibling;
        else element.insertBefore(shown, place);
      }
    }
    if (focused !== document.activeElement && focused instanceof HTMLElement) focused.focus();
  }

  /** @param {string} age */
  #group(age) {
    const known = this.#groups.get(age);
    if (known) return known;
    const made = element("div", { class: "entry-group", role: "listitem" }, age);
    this.#groups.set(age, made);
    return made;
  }

  /** @param {Head} head */
  #entry(head) {
    const view = this.#views.get(head.conversation) ?? new EntryView(head, this.#actions);
    this.#views.set(head.conversation, view);
    view.update(head, head.conversation === this.#current);
    return view.element;
  }
}

/**
 * The conversations, each group of one age behind its heading.
 *
 * @param {readonly Head[]} heads
 * @returns {Row[]}
 */
function rowsOf(heads) {
  const now = new Date();
  /** @type {Set<string>} */
  const ages = new Set();
  return heads.flatMap((head) => {
    const age = ageOf(head.updated_at, now);
    if (ages.has(age)) return [head];
    ages.add(age);
    return [age, head];
  });
}

/** @param {HTMLElement} slice of which an entry has the focus, or its menu open */
function isUsed(slice) {
  return slice.contains(document.activeElement) || slice.querySelector(".entry-panel:not([hidden])") !== null;
}
