// Images and documents over HTTP: put in once, read by id; knows no conversation.

import { TurnwireError } from "./errors.js";

/** @import { Http } from "./http.js" */
/** @import { AttachmentBlock } from "./messages.js" */

const MAX_NAME_CHARACTERS = 200;

export class Blobs {
  #http;
  #maxBytes;

  /**
   * @param {Http} http
   * @param {() => number | undefined} maxBytes the largest blob the server takes; undefined: not known yet
   */
  constructor(http, maxBytes) {
    this.#http = http;
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
    const request = { method: "POST", headers, body: blob, ...(signal && { signal }) };
    const { blob: id, media_type, bytes } = await this.#http.read("/blobs", (response) => response.json(), request);
    const type = media_type.startsWith("image/") ? "image" : "document";
    return { type, blob: id, media_type, bytes, ...(name && { name: name.slice(0, MAX_NAME_CHARACTERS) }) };
  }

  /**
   * @param {Pick<AttachmentBlock, "blob">} block
   * @param {{signal?: AbortSignal}} options
   * @returns {Promise<Blob>}
   */
  async download({ blob }, { signal }) {
    const path = `/blobs/${encodeURIComponent(blob)}`;
    return this.#http.read(path, (response) => response.blob(), signal ? { signal } : {});
  }

  /**
   * @param {string} conversation
   * @param {string} file
   * @param {{signal?: AbortSignal}} options
   * @returns {Promise<File>}
   */
  async downloadFile(conversation, file, { signal }) {
    const path = `/conversations/${encodeURIComponent(conversation)}/files/${encodeURIComponent(file)}`;
    /** @param {Response} response */
    const take = async (response) => {
      const [, name = ""] = /filename\*=UTF-8''([^;]*)/.exec(response.headers.get("content-disposition") ?? "") ?? [];
      const blob = await response.blob();
      return new File([blob], decodeURIComponent(name) || file, { type: blob.type });
    };
    return this.#http.read(path, take, signal ? { signal } : {});
  }
}
