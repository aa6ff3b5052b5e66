/** The user's conversations as the service keeps them: list, rename, delete, export; knows no view. */

import { Http } from "../turnwire/http.js";
import { saveAs } from "./saving.js";

/**
 * @typedef {object} Head A conversation without what was said in it.
 * @property {string} conversation
 * @property {string} title
 * @property {string} updated_at
 */

/** @typedef {"markdown" | "json"} Format */

/** @type {Record<Format, string>} */
const SUFFIXES = { markdown: "md", json: "json" };

const PATH = "/conversations";

export class Library {
  #http;

  /** @param {string | undefined} token for a service that wants one */
  constructor(token) {
    this.#http = new Http(new URL("v1", document.baseURI).href, token);
  }

  /**
   * Newest first.
   *
   * @param {number} limit
   * @param {{ before?: string, query?: string }} [which] `before`: the `next` of the page before;
   *   `query`: only those whose title contains it
   * @returns {Promise<{ conversations: Head[], next?: string }>}
   * @throws {TurnwireError}
   */
  async list(limit, { before, query } = {}) {
    const asked = { limit: String(limit), ...(before && { before }), ...(query && { q: query }) };
    return this.#http.read(`${PATH}?${new URLSearchParams(asked)}`, (response) => response.json());
  }

  /**
   * @param {string} id
   * @returns {Promise<string>}
   * @throws {TurnwireError}
   */
  async title(id) {
    return (await this.#http.read(`${pathOf(id)}?last=1`, (response) => response.json())).title;
  }

  /**
   * @param {string} id
   * @param {string} title
   * @throws {TurnwireError}
   */
  async rename(id, title) {
    const headers = { "Content-Type": "application/json" };
    await this.#http.fetch(pathOf(id), { method: "PATCH", headers, body: JSON.stringify({ title }) });
  }

  /**
   * For good; what runs in it is stopped.
   *
   * @param {string} id
   * @throws {TurnwireError}
   */
  async remove(id) {
    await this.#http.fetch(pathOf(id), { method: "DELETE" });
  }

  /**
   * Hand the conversation to the browser as a file to keep. Not a plain link: that has no header
   * for the token.
   *
   * @param {Head} head
   * @param {Format} format
   * @throws {TurnwireError}
   */
  async save({ conversation, title }, format) {
    const path = `${pathOf(conversation)}/export?format=${format}`;
    const file = await this.#http.read(path, (response) => response.blob());
    saveAs(file, `${fileName(title) || conversation}.${SUFFIXES[format]}`);
  }
}

/** @param {string} id */
function pathOf(id) {
  return `${PATH}/${encodeURIComponent(id)}`;
}

/**
 * A title without what file systems refuse.
 *
 * @param {string} title
 */
function fileName(title) {
  return title.replace(/[\p{Cc}\\/:*?"<>|]+/gu, " ").replace(/\s+/g, " ").trim().slice(0, 60).trim();
}
