// Images and documents over HTTP: put in once, read by id; knows no conversation.

import { TurnwireError, errorOf, noPage } from "./errors.js";

/** @import { Token } from "./connection.js" */
/** @import { AttachmentBlock } from "./messages.js" */

const MAX_NAME_CHARACTERS = 200;

export class Blobs {
  #url;
  #token;
  #maxBytes;

  /**
   * @param {string | undefined} url of `/v1/blobs`; undefined: it is relative to a page, and there is none
   * @param {Token | undefined} token
   * @param {() => number | undefined} maxBytes the largest blob the server takes; undefined: not known yet
   */
  constructor(url, token, maxBytes) {
    this.#url = url;
    this.#token = token;
    this.#maxBytes = maxBytes;
  }

  /**
   * @param {Blob} blob
   * @param {{name?: string, signal?: AbortSignal}} options
   * @returns {Promise<AttachmentBlock>}
   */
  async upload(blob, { name, signal }) {
    const maxBytes = this.#maxBytes();
    // A server that stops reading looks like a lost connection, so the size is checked here.
    if (maxBytes !== undefined && blob.size > maxBytes) {
      throw new TurnwireError("too_large", `It is larger than ${maxBytes} bytes.`);
    }
    const headers = { "Content-Type": blob.type };
    const response = await this.#fetch("", { method: "POST", headers, body: blob, ...(signal && { signal }) });
    const { blob: id, media_type, bytes } = await response.json();
    const type = media_type.startsWith("image/") ? "image" : "document";
    return { type, blob: id, media_type, bytes, ...(name && { name: name.slice(0, MAX_NAME_CHARACTERS) }) };
  }

  /**
   * @param {Pick<AttachmentBlock, "blob">} block
   * @param {{signal?: AbortSignal}} options
   * @returns {Promise<Blob>}
   */
  async download({ blob }, { signal }) {
    const response = await this.#fetch(`/${encodeURIComponent(blob)}`, signal ? { signal } : {});
    return response.blob();
  }

  /** @param {string} path @param {RequestInit & {headers?: Record<string, string>}} request */
  async #fetch(path, request) {
    if (this.#url === undefined) throw noPage();
    const token = typeof this.#token === "function" ? await this.#token() : this.#token;
    const headers = { ...request.headers, ...(token !== undefined && { Authorization: `Bearer ${token}` }) };
    let response;
    try {
      response = await fetch(this.#url + path, { ...request, headers });
    } catch (error) {
      if (request.signal?.aborted) throw error;
      throw new TurnwireError("network_error", "The server could not be reached.", { retryable: true });
    }
    if (response.ok) return response;
    const told = await response.json().catch(() => ({}));
    const retryable = response.status >= 500;
    throw errorOf(told.error ?? { code: "internal", message: `HTTP ${response.status}`, retryable });
  }
}
