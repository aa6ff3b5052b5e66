// The commands that wait for their reply, over connections; knows neither sockets nor what commands mean.

import { TurnwireError, errorOf } from "./errors.js";

/** @import { Ack, Reject } from "./messages.js" */

/**
 * How a caller learns of the reply. Called at once when the reply is read, not in a promise's turn: the events of a
 * subscription may follow its ack in the same chunk of bytes.
 * @typedef {object} Expecting
 * @property {(ack: Ack, isRepeated: boolean) => void} acked `isRepeated`: it was sent before, and may have taken effect then
 * @property {(error: TurnwireError) => void} failed
 * @property {boolean} [repeats] it is idempotent: a lost connection does not end it, it is sent again
 */

/** @typedef {{text: string, isSend: boolean, sent: boolean, isRepeated: boolean} & Expecting} Waiting */

/** Sends in the order given; after a reconnect, what has no reply yet once more, in that order. */
export class PendingCommands {
  /** @type {Map<string, Waiting>} */
  #waiting = new Map();
  #nextId = 1;
  #transmit;
  #connect;
  /** @type {number | undefined} undefined: not connected, everything waits */
  #maxFrameBytes;
  #draining = false;
  /** @type {TurnwireError | undefined} why there will be no further connection */
  failure;

  /** @param {{transmit: (text: string) => void, connect: () => void}} connection `connect`: there is something to send */
  constructor({ transmit, connect }) {
    this.#transmit = transmit;
    this.#connect = connect;
  }

  /**
   * @param {{type: string} & Record<string, unknown>} command without its id
   * @param {Expecting} expecting
   */
  request(command, expecting) {
    this.#connect();
    if (this.failure) return expecting.failed(this.failure);
    const id = String(this.#nextId++);
    const text = JSON.stringify({ ...command, id }, wellFormed);
    const isSend = command.type === "send";
    this.#waiting.set(id, { ...expecting, text, isSend, sent: false, isRepeated: false });
    this.#try(id);
  }

  /**
   * Have an idempotent command take effect, over connections.
   * @template T
   * @param {{type: string} & Record<string, unknown>} command
   * @param {(ack: Ack, isRepeated: boolean) => T} then called at once when the ack is read; what it throws, the promise rejects with
   * @returns {Promise<T>}
   */
  ask(command, then) {
    return new Promise((resolve, reject) => {
      /** @param {Ack} ack @param {boolean} isRepeated */
      const acked = (ack, isRepeated) => {
        try {
          resolve(then(ack, isRepeated));
        } catch (error) {
          reject(error);
        }
      };
      this.request(command, { acked, failed: reject, repeats: true });
    });
  }

  /** Say something whose reply does not matter. @param {{type: string} & Record<string, unknown>} command */
  post(command) {
    this.request(command, { acked: () => {}, failed: () => {} });
  }

  /** New commands may flow; what waits follows at `resume`. @param {number} maxFrameBytes */
  open(maxFrameBytes) {
    this.#maxFrameBytes = maxFrameBytes;
    this.#draining = false;
  }

  /** Send what waits. */
  resume() {
    for (const id of [...this.#waiting.keys()]) this.#try(id);
  }

  /** The server drains: sends wait for the next connection; the rest, a cancel above all, still goes. */
  drain() {
    this.#draining = true;
  }

  /** @param {Ack | Reject} reply to any command; one to an unknown command is ignored */
  settle(reply) {
    const id = reply.id ?? "";
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (reply.type === "ack") waiting?.acked(reply, waiting.isRepeated);
    else waiting?.failed(errorOf(reply, { isRepeated: waiting.isRepeated }));
  }

  /**
   * The connection is lost.
   * @param {TurnwireError | undefined} blame present: what was sent and not answered may be the cause, and fails with it
   */
  lose(blame) {
    this.#maxFrameBytes = undefined;
    const lost = new TurnwireError("network_error", "The connection was lost.", { retryable: true });
    this.#drop((waiting) => waiting.sent && (blame ?? (waiting.repeats ? undefined : lost)));
    for (const waiting of this.#waiting.values()) {
      waiting.isRepeated ||= waiting.sent;
      waiting.sent = false;
    }
  }

  /** There will be no further connection. @param {TurnwireError} error */
  end(error) {
    this.failure = error;
    this.#drop(() => error);
  }

  /** @param {string} id */
  #try(id) {
    const waiting = this.#waiting.get(id);
    if (!waiting || waiting.sent || this.#maxFrameBytes === undefined) return;
    if (this.#draining && waiting.isSend) return;
    if (byteLength(waiting.text) > this.#maxFrameBytes) {
      this.#waiting.delete(id);
      const limit = `The message is larger than ${this.#maxFrameBytes} bytes.`;
      waiting.failed(new TurnwireError("too_large", limit));
      return;
    }
    waiting.sent = true;
    this.#transmit(waiting.text);
  }

  /** @param {(waiting: Waiting) => TurnwireError | false | undefined} reason */
  #drop(reason) {
    for (const [id, waiting] of [...this.#waiting]) {
      const error = reason(waiting);
      if (!error) continue;
      this.#waiting.delete(id);
      waiting.failed(error);
    }
  }
}

/** @param {string} text @returns {number} bytes of its UTF-8 */
function byteLength(text) {
  return new TextEncoder().encode(text).length;
}

/** @param {string} _ @param {unknown} value */
function wellFormed(_, value) {
  // Half a surrogate pair is no Unicode: the server would close the connection, for good.
  return typeof value === "string" ? value.replace(/\p{Surrogate}/gu, "\ufffd") : value;
}
