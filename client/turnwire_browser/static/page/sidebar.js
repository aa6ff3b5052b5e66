/** The side bar: the user's conversations, newest first, more of them as one scrolls. */

import { TurnwireError } from "../turnwire/turnwire.js";
import { element } from "./element.js";
import { EntryView } from "./entry.js";
import { words } from "./language.js";

/** @typedef {import("./library.js").Head} Head */
/** @typedef {import("./library.js").Library} Library */

const PAGE = 40;
/** The most that the service lists at once. */
const MOST = 200;

export class Sidebar {
  #library;
  #changed;
  #removed;
  /** @type {readonly Head[]} */
  #heads = [];
  /** @type {string | undefined} */
  #next;
  /** @type {Map<string, EntryView>} */
  #views = new Map();
  /** @type {string | undefined} */
  #current;
  #isLoading = false;
  /** Something has changed since the list that is on its way was asked for. */
  #isStale = false;

  /**
   * @param {HTMLElement} container an element that scrolls
   * @param {Library} library
   * @param {{ changed(): void, removed(id: string): void }} tell
   *   titles may be others now; a conversation was deleted here
   */
  constructor(container, library, { changed, removed }) {
    this.#library = library;
    this.#changed = changed;
    this.#removed = removed;
    this.list = element("ol", { class: "entries" });
    this.state = element("p", { class: "side-state" });
    container.replaceChildren(this.list, this.state);
    const seen = new IntersectionObserver(
      ([{ isIntersecting }]) => {
        if (isIntersecting && this.#next !== undefined && !this.#isLoading) this.#load(this.#next);
      },
      { root: container, rootMargin: "200px" },
    );
    seen.observe(this.state);
  }

  /**
   * The title the service has for a conversation, if it is in the list.
   *
   * @param {string | undefined} id
   */
  title(id) {
    return this.#heads.find(({ conversation }) => conversation === id)?.title;
  }

  /**
   * Mark the conversation that is on the screen.
   *
   * @param {string | undefined} id
   */
  mark(id) {
    if (id === this.#current) return;
    this.#current = id;
    this.#draw();
  }

  /** Ask the service again, for as much as is shown. */
  refresh() {
    if (this.#isLoading) this.#isStale = true;
    else this.#load(undefined);
  }

  /** @param {string | undefined} before */
  async #load(before) {
    this.#isLoading = true;
    this.#isStale = false;
    const limit = before ? PAGE : Math.min(MOST, Math.max(PAGE, this.#heads.length));
    try {
      const { conversations, next } = await this.#library.list(limit, before);
      // A conversation that came on top meanwhile has pushed others into the next page.
      const known = new Set(this.#heads.map(({ conversation }) => conversation));
      const isNew = (/** @type {Head} */ head) => !known.has(head.conversation);
      this.#heads = before ? [...this.#heads, ...conversations.filter(isNew)] : conversations;
      this.#next = next;
      this.state.textContent = this.#heads.length > 0 ? "" : words.side.none;
      this.#changed();
    } catch (error) {
      if (!(error instanceof TurnwireError)) throw error;
      const again = element("button", { type: "button", onclick: () => this.refresh() }, words.action.tryAgain);
      this.state.replaceChildren(words.side.notLoaded, again);
    } finally {
      this.#isLoading = false;
    }
    this.#draw();
    if (this.#isStale) this.refresh();
  }

  #draw() {
    const views = [...this.#views.values()];
    // A field that moves would lose the focus, and with it what is being written.
    if (views.some(({ isRenaming }) => isRenaming)) return;
    const focused = document.activeElement;
    const kept = new Set();
    this.#heads.forEach((head, index) => {
      const view = this.#viewOf(head);
      kept.add(head.conversation);
      view.update(head, head.conversation === this.#current);
      const place = this.list.children[index] ?? null;
      if (place !== view.element) this.list.insertBefore(view.element, place);
    });
    for (const [id, view] of this.#views) {
      if (kept.has(id)) continue;
      view.element.remove();
      this.#views.delete(id);
    }
    if (focused !== document.activeElement && focused instanceof HTMLElement) focused.focus();
  }

  /** @param {Head} head */
  #viewOf(head) {
    const known = this.#views.get(head.conversation);
    if (known) return known;
    const view = new EntryView(head, {
      opens: (opening) => {
        for (const other of this.#views.values()) if (other !== opening) other.close();
      },
      rename: async ({ conversation }, title) => {
        await this.#library.rename(conversation, title);
        this.refresh();
      },
      remove: async ({ conversation }) => {
        await this.#library.remove(conversation);
        this.#heads = this.#heads.filter((other) => other.conversation !== conversation);
        this.#removed(conversation);
        this.#draw();
        this.refresh();
      },
      save: (whole, format) => this.#library.save(whole, format),
    });
    this.#views.set(head.conversation, view);
    return view;
  }
}
