// What can go wrong for a caller, and what a WebSocket close code means for a client; pure.

/** A refusal of the server, a failed turn, or the loss of the connection for good. */
export class TurnwireError extends Error {
  name = "TurnwireError";

  /**
   * @param {string} code of PROTOCOL.md; or `closed`: this client has been closed, `unsupported`: this platform lacks
   *   something that is needed to connect; open string
   * @param {string} message for people
   * @param {{retryable?: boolean, retryAfterSeconds?: number, isRepeated?: boolean}} [more]
   */
  constructor(code, message, { retryable = false, retryAfterSeconds, isRepeated = false } = {}) {
    super(message);
    this.code = code;
    /** Whether the same request may succeed later. */
    this.retryable = retryable;
    /** @type {number | undefined} */
    this.retryAfterSeconds = retryAfterSeconds;
    /** Whether the request was sent before, over a connection that was lost, and may have taken effect then. */
    this.isRepeated = isRepeated;
  }
}

/**
 * The error that a `reject`, or the `error` event of a turn, tells.
 * @param {{code: string, message: string, retryable: boolean, retry_after_seconds?: number}} told
 * @param {{isRepeated?: boolean}} [more]
 */
export function errorOf({ code, message, retryable, retry_after_seconds: retryAfterSeconds }, more = {}) {
  return new TurnwireError(code, message, { ...more, retryable, retryAfterSeconds });
}

/** The error of what needs a conversation that exists. */
export function nothingSent() {
  return new TurnwireError("unknown_conversation", "Nothing has been sent in it yet.");
}

/** The error of a relative URL where there is no page: in Node.js, or while a server renders. */
export function noPage() {
  return new TurnwireError("unsupported", "The URL of the service is relative, and there is no page: give the whole URL.");
}

/** The error of a platform without sockets. */
export function noWebSocket() {
  const remedy = 'give one, as in connect(url, { WebSocket }) with that of the package "ws"';
  return new TurnwireError("unsupported", `There is no WebSocket here (Node.js has one from version 22 on): ${remedy}.`);
}

/**
 * Whether a client reconnects and resumes after this close code (PROTOCOL.md "Closing").
 * @param {number} closeCode
 */
export function mayReconnect(closeCode) {
  return closeCode !== 1000 && !(closeCode >= 4500 && closeCode <= 4999);
}

/**
 * The error of commands that may have caused the close and so must not be repeated, if it is such a code.
 * @param {number} closeCode
 * @returns {TurnwireError | undefined}
 */
export function blameOf(closeCode) {
  if (closeCode === 1009) return new TurnwireError("too_large", "The message is too large.");
  if (closeCode === 1002 || closeCode === 1007) {
    return new TurnwireError("bad_command", `The server closed the connection on it (${closeCode}).`);
  }
  return undefined;
}

/**
 * Why a connection has ended for good.
 * @param {number} closeCode one that `mayReconnect` denies
 * @param {string} reason as the server gave it, perhaps empty
 */
export function endOf(closeCode, reason) {
  if (closeCode === 4501) return new TurnwireError("unauthorized", reason || "Not authorised.");
  if (closeCode === 1000) return new TurnwireError("closed", reason || "The server ended the connection.");
  return new TurnwireError("protocol_violation", reason || `The server refused this client (${closeCode}).`);
}
