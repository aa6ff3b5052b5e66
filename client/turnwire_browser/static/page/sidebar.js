/** The side bar: the user's conversations by age, newest first, more of them as one scrolls; and a search in their titles. */

import { TurnwireError } from "../turnwire/turnwire.js";
import { element, icon } from "./element.js";
import { EntryList } from "./entries.js";
import { takesEscape } from "./keys.js";
import { words } from "./language.js";

/** @typedef {import("./library.js").Head} Head */
/** @typedef {import("./library.js").Library} Library */

const PAGE = 40;
/** The most that the service lists at once. */
const MOST = 200;
const TYPING_MILLISECONDS = 150;

export class Sidebar {
  #library;
  #changed;
  #removed;
  /** @type {readonly Head[]} */
  #heads = [];
  /** @type {string | undefined} */
  #next;
  /** What the titles have to contain; "": all are listed. */
  #query = "";
  /** Titles outlive a search that does not list them. @type {Map<string, string>} */
  #titles = new Map();
  /** @type {string | undefined} */
  #current;
  #list;
  #isLoading = false;
  /** Something has changed since the list that is on its way was asked for. */
  #isStale = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #typing;
  /** Tells when the end of the list comes into sight. */
  #seen;

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
    this.search = element("input", {
      type: "search",
      class: "side-search",
      placeholder: words.side.search,
      "aria-label": words.side.search,
      maxlength: 200,
      dir: "auto",
      oninput: () => this.#typed(),
      onkeydown: (/** @type {KeyboardEvent} */ event) => {
        if (this.search.value && takesEscape(event)) this.#clear();
      },
    });
    this.#list = new EntryList(container, {
      rename: async ({ conversation }, title) => {
        await library.rename(conversation, title);
        this.refresh();
      },
      remove: async ({ conversation }) => {
        await library.remove(conversation);
        this.#heads = this.#heads.filter((other) => other.conversation !== conversation);
        this.#titles.delete(conversation);
        this.#removed(conversation);
        this.#draw();
        this.refresh();
      },
      save: (whole, format) => library.save(whole, format),
    });
    this.state = element("p", { class: "side-state", role: "status" });
    container.before(element("div", { class: "side-find" }, icon("search"), this.search));
    container.replaceChildren(this.#list.element, this.state);
    this.#seen = new IntersectionObserver(
      (entries) => {
        // The last of them: it may have gone out of sight and come back since.
        if (entries.at(-1)?.isIntersecting && this.#next !== undefined && !this.#isLoading) this.#load(this.#next);
      },
      { root: container, rootMargin: "200px" },
    );
    this.#seen.observe(this.state);
  }

  /**
   * The title the service has for a conversation, if it was in the list.
   *
   * @param {string | undefined} id
   */
  title(id) {
    return id === undefined ? undefined : this.#titles.get(id);
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

  #typed() {
    clearTimeout(this.#typing);
    this.#typing = setTimeout(() => {
      const query = this.search.value.trim();
      if (query === this.#query) return;
      this.#query = query;
      this.#heads = [];
      this.refresh();
    }, TYPING_MILLISECONDS);
  }

  #clear() {
    this.search.value = "";
    this.#typed();
  }

  /** @param {string | undefined} before */
  async #load(before) {
    this.#isLoading = true;
    this.#isStale = false;
    const query = this.#query;
    // Few at first, for the page is just being opened; who scrolls on wants many.
    const limit = before ? MOST : Math.min(MOST, Math.max(PAGE, this.#heads.length));
    try {
      const { conversations, next } = await this.#library.list(limit, { before, query });
      if (query === this.#query) this.#take(conversations, before, next);
    } catch (error) {
      if (!(error instanceof TurnwireError)) throw error;
      const again = element("button", { type: "button", onclick: () => this.refresh() }, words.action.tryAgain);
      this.state.replaceChildren(words.side.notLoaded, again);
    } finally {
      this.#isLoading = false;
    }
    this.#draw();
    // Its end may be in sight as before: only who is new to the observer is told so.
    this.#seen.unobserve(this.state);
    this.#seen.observe(this.state);
    if (this.#isStale || query !== this.#query) this.refresh();
  }

  /**
   * @param {Head[]} conversations
   * @param {string | undefined} before none: they are the newest
   * @param {string | undefined} next
   */
  #take(conversations, before, next) {
    for (const { conversation, title } of conversations) this.#titles.set(conversation, title);
    const isKnown = new Set((before ? this.#heads : conversations).map(({ conversation }) => conversation));
    const isNew = (/** @type {Head} */ { conversation }) => !isKnown.has(conversation);
    if (before) {
      // A conversation that came on top meanwhile has pushed others into the next page.
      this.#heads = [...this.#heads, ...conversations.filter(isNew)];
      this.#next = next;
    } else if (next && this.#heads.length > conversations.length) {
      // More are shown than the service lists at once: those stay, or the list would jump back.
      const { updated_at = "" } = conversations.at(-1) ?? {};
      const older = this.#heads.filter((head) => isNew(head) && head.updated_at <= updated_at);
      this.#heads = [...conversations, ...older];
    } else {
      this.#heads = conversations;
      this.#next = next;
    }
    const none = this.#query ? words.side.nothingFound : words.side.none;
    this.state.textContent = this.#heads.length > 0 ? "" : none;
    this.#changed();
  }

  #draw() {
    this.#list.draw(this.#heads, this.#current);
  }
}
