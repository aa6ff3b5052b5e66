// What a conversation has before the turns that are held here: where these begin, and the older ones, page by page; knows no socket.

/** @import { FoldedTurn } from "./fold.js" */
/** @import { Http } from "./http.js" */

/**
 * Some turns as they were when the log went to `seq`; `next` is there if there are older ones.
 * @typedef {object} Page
 * @property {string} epoch
 * @property {number} seq
 * @property {ReadonlyArray<Readonly<FoldedTurn>>} turns
 * @property {string} [next]
 * @property {import("./replaced.js").Earlier} [replaced] a server from before it was told has none
 */

/**
 * @typedef {object} Holder
 * @property {() => {id: string | undefined, epoch: string | undefined, first: string | undefined}} place the conversation, its
 *   log, and the first turn that is held
 * @property {(seq: number) => Promise<boolean>} reached once all up to there is applied; false: that will not be
 * @property {(page: Page) => void} put its turns before those that are held
 */

export class Past {
  /** The seq after which the events begin that were applied here; 0: at the first one. */
  begin = 0;
  /** Whether turns are missing before the first one that is held. */
  hasMore = false;
  #http;
  #holder;
  /** The seq of the last retract that was applied. */
  #retracted = 0;
  /** @type {Promise<void> | undefined} */
  #loading;

  /**
   * @param {Http} http
   * @param {Holder} holder
   * @param {number | undefined} last how many turns a subscription begins with; undefined: with all of them
   */
  constructor(http, holder, last) {
    this.#http = http;
    this.#holder = holder;
    this.last = last;
  }

  /** What is held begins after this seq. @param {number} seq */
  beginAfter(seq) {
    this.begin = seq;
    this.hasMore = seq > 0;
    this.#retracted = 0;
  }

  /** A retract was applied: what was read before may say what is void now. @param {number} seq */
  retract(seq) {
    this.#retracted = seq;
  }

  /**
   * The turns before the first one that is held. One call at a time reads; others wait for the same.
   * @param {number} count
   * @returns {Promise<void>}
   * @throws {TurnwireError}
   */
  load(count) {
    this.#loading ??= this.#load(count).finally(() => (this.#loading = undefined));
    return this.#loading;
  }

  /** @param {number} count */
  async #load(count) {
    while (this.hasMore) {
      const { epoch } = this.#holder.place();
      const page = await this.#read(count);
      // Its turns can stand here only as they were when we were there (PROTOCOL.md "The end of a conversation").
      if (!(await this.#holder.reached(page.seq))) return;
      const isSame = page.epoch === epoch && this.#holder.place().epoch === epoch;
      if (!isSame || !this.hasMore) return;
      if (this.#retracted > page.seq) continue;
      this.hasMore = page.next !== undefined;
      return this.#holder.put(page);
    }
  }

  /** @param {number} count @returns {Promise<Page>} */
  async #read(count) {
    const { id = "", first } = this.#holder.place();
    const query = new URLSearchParams({ last: String(count), ...(first !== undefined && { before: first }), replaced: "true" });
    return this.#http.read(`/conversations/${encodeURIComponent(id)}?${query}`, (response) => response.json());
  }
}
