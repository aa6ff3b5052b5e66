// Requests to the service over HTTP, with the token and with errors as the socket tells them; knows no endpoint.

import { TurnwireError, errorOf, noPage } from "./errors.js";

/** @import { Token } from "./connection.js" */

export class Http {
  #url;
  #token;

  /**
   * @param {string | undefined} url of `/v1`, without a slash at its end; undefined: it is relative to a page, and there is none
   * @param {Token | undefined} token
   */
  constructor(url, token) {
    this.#url = url;
    this.#token = token;
  }

  /**
   * @param {string} path below `/v1`
   * @param {RequestInit & {headers?: Record<string, string>}} [request]
   * @returns {Promise<Response>} one that is well
   * @throws {TurnwireError | DOMException} refused; or aborted by the request's signal
   */
  async fetch(path, request = {}) {
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

  /**
   * The body of an answer.
   *
   * @template T
   * @param {string} path below `/v1`
   * @param {(response: Response) => Promise<T>} take reads it
   * @param {RequestInit & {headers?: Record<string, string>}} [request]
   * @returns {Promise<T>}
   * @throws {TurnwireError | DOMException} refused, or cut off; or aborted by the request's signal
   */
  async read(path, take, request = {}) {
    const response = await this.fetch(path, request);
    try {
      return await take(response);
    } catch (error) {
      if (request.signal?.aborted) throw error;
      throw new TurnwireError("network_error", "The answer was cut off.", { retryable: true });
    }
  }
}
