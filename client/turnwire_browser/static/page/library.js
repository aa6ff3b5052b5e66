/** The user's conversations as the service keeps them: list, rename, delete, export; knows no view. */

import { TurnwireError } from "../turnwire/turnwire.js";
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

export class Library {
  #token;

  /** @param {string | undefined} token for a service that wants one */
  constructor(token) {
    this.#token = token;
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
    return this.#request("GET", `?${new URLSearchParams(asked)}`, { take: (response) => response.json() });
  }

  /**
   * @param {string} id
   * @returns {Promise<string>}
   * @throws {TurnwireError}
   */
  async title(id) {
    const path = `/${encodeURIComponent(id)}?last=1`;
    return (await this.#request("GET", path, { take: (response) => response.json() })).title;
  }

  /**
   * @param {string} id
   * @param {string} title
   * @throws {TurnwireError}
   */
  async rename(id, title) {
    await this.#request("PATCH", `/${encodeURIComponent(id)}`, { body: { title } });
  }

  /**
   * For good; what runs in it is stopped.
   *
   * @param {string} id
   * @throws {TurnwireError}
   */
  async remove(id) {
    await this.#request("DELETE", `/${encodeURIComponent(id)}`);
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
    const path = `/${encodeURIComponent(conversation)}/export?format=${format}`;
    const file = await this.#request("GET", path, { take: (response) => response.blob() });
    saveAs(file, `${fileName(title) || conversation}.${SUFFIXES[format]}`);
  }

  /**
   * @param {string} method
   * @param {string} path below v1/conversations
   * @param {{ body?: object, take?: (response: Response) => Promise<any> }} [how] `take`: reads the answer
   */
  async #request(method, path, { body, take } = {}) {
    const headers = new Headers();
    if (this.#token !== undefined) headers.set("Authorization", `Bearer ${this.#token}`);
    if (body) headers.set("Content-Type", "application/json");
    const url = new URL(`v1/conversations${path}`, document.baseURI);
    try {
      const response = await fetch(url, { method, headers, body: body && JSON.stringify(body) });
      // Here, too, it may be cut off.
      if (response.ok) return await take?.(response);
      const { error } = await response.json();
      throw new TurnwireError(error.code, error.message, { retryable: error.retryable });
    } catch (error) {
      if (error instanceof TurnwireError) throw error;
      throw new TurnwireError("network_error", "The service did not answer.", { retryable: true });
    }
  }
}

/**
 * A title without what file systems refuse.
 *
 * @param {string} title
 */
function fileName(title) {
  return title.replace(/[\p{Cc}\\/:*?"<>|]+/gu, " ").replace(/\s+/g, " ").trim().slice(0, 60).trim();
}
