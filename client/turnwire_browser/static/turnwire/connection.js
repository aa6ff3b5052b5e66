// One socket at a time, opened again when it is lost; knows of the messages only `welcome`.

import { Backoff } from "./backoff.js";
import { TurnwireError, endOf, mayReconnect, noPage, noWebSocket } from "./errors.js";

/** @import { Welcome } from "./messages.js" */

const PROTOCOL = "turnwire.v1";
const OPEN_SECONDS = 10;
const STABLE_SECONDS = 10;

/** The id of the commands this file sends by itself; those of `PendingCommands` are numbers. */
const HELLO = "hello";
const PING = "ping";

export const State = Object.freeze({
  /** The first attempt is under way, or begins as soon as somebody needs the connection. */
  CONNECTING: "connecting",
  /** Welcomed: commands flow. */
  OPEN: "open",
  /** The connection is lost, or could not be made; another attempt is under way or, with `retryAt`, planned. */
  RECONNECTING: "reconnecting",
  /** The same, while the browser says that there is no network. */
  OFFLINE: "offline",
  /** For good. */
  CLOSED: "closed",
});

/**
 * `retryAt`: when the next attempt begins, in milliseconds since 1970; `error`: why it is closed, unless by `close()`.
 * @typedef {object} ConnectionSnapshot
 * @property {"connecting" | "open" | "reconnecting" | "offline" | "closed"} state
 * @property {Welcome} [welcome] the latest
 * @property {{code: string, message: string}} [error]
 * @property {number} [retryAt]
 */

/**
 * What a test replaces; `now` in milliseconds since 1970, for display only.
 * @typedef {object} Timers
 * @property {(callback: () => void, milliseconds: number) => any} setTimeout
 * @property {(handle: any) => void} clearTimeout
 * @property {() => number} now
 */

/**
 * @typedef {object} Owner
 * @property {(welcome: Welcome) => void} onOpen commands may flow
 * @property {(message: any) => void} onMessage each message but `welcome`
 * @property {(closeCode: number) => void} onLoss the connection is lost, another attempt follows
 * @property {(error: TurnwireError) => void} onEnd there will be no further connection
 * @property {() => void} onChange the snapshot has changed
 */

/**
 * What a service wants to know who we are; or a function that fetches it, asked before each attempt to connect and each
 * upload. A TurnwireError that it throws ends the connection for good, anything else is tried again.
 * @typedef {string | (() => string | Promise<string>)} Token
 */

/** Before the first attempt. @type {Readonly<ConnectionSnapshot>} */
export const UNCONNECTED = Object.freeze({ state: State.CONNECTING });

/** @typedef {new (url: string, protocols: string[]) => WebSocket} WebSocketClass */

export class Connection {
  /** @type {Readonly<ConnectionSnapshot>} immutable; its identity changes only on change */
  snapshot = UNCONNECTED;
  #url;
  #token;
  #WebSocket;
  #timers;
  #backoff;
  #owner;
  /** @type {WebSocket | undefined} */
  #socket;
  /** Whatever is next: giving up an attempt, a ping, giving up a silent connection, or an attempt. */
  #next;
  #stable;
  #heartbeatSeconds = 0;
  /** The server asked for this much patience before the next attempt. */
  #patienceSeconds = 0;
  #watching = new AbortController();
  #hasStarted = false;
  /** Counts attempts, so that a token that comes too late is known. */
  #attempt = 0;

  /**
   * Does nothing before `start`.
   * @param {string | undefined} url ws:// or wss://; undefined: it is relative to a page, and there is none
   * @param {{token: Token | undefined, WebSocket: WebSocketClass | undefined, timers: Timers, random: () => number}} options
   * @param {Owner} owner
   */
  constructor(url, { token, WebSocket, timers, random }, owner) {
    this.#url = url;
    this.#token = token;
    this.#WebSocket = WebSocket;
    this.#timers = timers;
    this.#backoff = new Backoff(random);
    this.#owner = owner;
    this.#next = new Timer(timers);
    this.#stable = new Timer(timers);
  }

  /**
   * Connect, unless that has begun: somebody needs the connection. What happens is told to the owner later; at once, by
   * `onEnd`, only that there can be none.
   */
  start() {
    if (this.#hasStarted || this.snapshot.state === State.CLOSED) return;
    this.#hasStarted = true;
    this.#watchBrowser();
    this.#open();
  }

  /** @param {string} text a command; only while open */
  transmit(text) {
    this.#socket?.send(text);
  }

  /** Skip what is left of the wait before the next attempt. */
  reconnect() {
    if (this.snapshot.retryAt !== undefined) this.#open();
  }

  /** The server is about to go. @param {number} seconds to wait, at least, once it has */
  bePatient(seconds) {
    this.#patienceSeconds = seconds;
  }

  /**
   * Close for good.
   * @param {TurnwireError} [error] why, if not by our own wish
   */
  close(error) {
    if (this.snapshot.state === State.CLOSED) return;
    this.#watching.abort();
    this.#drop();
    const { welcome } = this.snapshot;
    const told = error && { code: error.code, message: error.message };
    this.#show({ state: State.CLOSED, ...(welcome && { welcome }), ...(told && { error: told }) });
    this.#owner.onEnd(error ?? new TurnwireError("closed", "This client has been closed."));
  }

  #open() {
    const { state, welcome } = this.snapshot;
    if (state !== State.CONNECTING) this.#show({ state: lostState(), ...(welcome && { welcome }) });
    if (this.#url === undefined) return this.close(noPage());
    if (this.#WebSocket === undefined) return this.close(noWebSocket());
    this.#next.set(OPEN_SECONDS, () => this.#lose(1006, ""));
    if (typeof this.#token === "function") void this.#fetchToken(this.#token, this.#url, this.#WebSocket);
    else this.#dial(this.#url, this.#WebSocket, this.#token);
  }

  /** @param {() => string | Promise<string>} fetchToken @param {string} url @param {WebSocketClass} WebSocket */
  async #fetchToken(fetchToken, url, WebSocket) {
    const attempt = this.#attempt;
    let token;
    try {
      token = await fetchToken();
    } catch (error) {
      // The page's own code: what it cannot do now, it may be able to do later.
      if (attempt !== this.#attempt) return;
      return error instanceof TurnwireError ? this.close(error) : this.#lose(1006, "");
    }
    if (attempt === this.#attempt) this.#dial(url, WebSocket, token);
  }

  /** @param {string} url @param {WebSocketClass} WebSocket @param {string | undefined} token */
  #dial(url, WebSocket, token) {
    let socket;
    try {
      socket = new WebSocket(url, [PROTOCOL]);
    } catch (error) {
      // The browser forbids it, for example an unprotected socket to a page that came protected.
      return this.close(new TurnwireError("unsupported", String(error)));
    }
    this.#socket = socket;
    let isOpen = false;
    // A socket that was dropped may still speak for a while: only the current one is heard.
    socket.onopen = () => {
      isOpen = true;
      if (this.#socket === socket && token !== undefined) this.#command({ type: "hello", id: HELLO, token });
    };
    socket.onmessage = ({ data }) => {
      if (this.#socket === socket) this.#read(data);
    };
    socket.onclose = ({ code, reason }) => {
      if (this.#socket === socket) this.#lose(code, reason);
    };
    // By the standard a close event follows every error; Node's has been seen to leave it out before the opening.
    socket.onerror = () => {
      if (this.#socket === socket && !isOpen) this.#lose(1006, "");
    };
  }

  /** @param {unknown} data of a frame */
  #read(data) {
    const message = parse(data);
    if (message === undefined) return this.#lose(1006, "");
    if (message.type === "welcome") this.#welcome(message);
    else if (message.type === "reject" && message.id === HELLO) {
      return this.close(new TurnwireError(message.code, message.message));
    } else this.#owner.onMessage(message);
    if (this.snapshot.state === State.OPEN) this.#next.set(this.#heartbeatSeconds, () => this.#probe());
  }

  /** @param {Welcome} welcome */
  #welcome(welcome) {
    this.#heartbeatSeconds = welcome.heartbeat_seconds;
    this.#stable.set(STABLE_SECONDS, () => this.#backoff.reset());
    this.#show({ state: State.OPEN, welcome });
    this.#owner.onOpen(welcome);
  }

  /** Is anyone there? Whatever comes is an answer. */
  #probe() {
    this.#command({ type: "ping", id: PING });
    this.#next.set(this.#heartbeatSeconds / 2, () => this.#lose(1006, ""));
  }

  /** @param {object} command */
  #command(command) {
    this.#socket?.send(JSON.stringify(command));
  }

  /** @param {number} closeCode @param {string} reason */
  #lose(closeCode, reason) {
    if (!mayReconnect(closeCode)) return this.close(endOf(closeCode, reason));
    this.#drop();
    const seconds = this.#patienceSeconds + this.#backoff.next();
    this.#patienceSeconds = 0;
    const { welcome } = this.snapshot;
    const retryAt = this.#timers.now() + seconds * 1000;
    this.#next.set(seconds, () => this.#open());
    this.#show({ state: lostState(), retryAt, ...(welcome && { welcome }) });
    this.#owner.onLoss(closeCode);
  }

  /** Forget the socket at once: on a dead link its closing handshake would take minutes. */
  #drop() {
    const socket = this.#socket;
    this.#attempt += 1;
    this.#socket = undefined;
    this.#next.clear();
    this.#stable.clear();
    socket?.close();
  }

  /** The browser often knows first that the network went or came, or that the page was asleep. */
  #watchBrowser() {
    if (typeof document === "undefined") return;
    const { signal } = this.#watching;
    const look = () => this.#look();
    for (const name of ["online", "offline", "pageshow"]) addEventListener(name, look, { signal });
    const seen = () => document.visibilityState === "visible" && this.#look();
    document.addEventListener("visibilitychange", seen, { signal });
  }

  #look() {
    const { state, retryAt, welcome } = this.snapshot;
    if (state === State.OPEN) return this.#probe();
    if (retryAt === undefined) return;
    if (lostState() !== State.OFFLINE) return this.#open();
    // Attempts go on while offline: a service on this machine is there without any network.
    if (state !== State.OFFLINE) {
      this.#show({ state: State.OFFLINE, retryAt, ...(welcome && { welcome }) });
    }
  }

  /** @param {ConnectionSnapshot} snapshot */
  #show(snapshot) {
    this.snapshot = snapshot;
    this.#owner.onChange();
  }
}

/** One thing to do later, at most. */
class Timer {
  #timers;
  /** @type {any} */
  #handle;

  /** @param {Timers} timers */
  constructor(timers) {
    this.#timers = timers;
  }

  /** @param {number} seconds @param {() => void} action instead of the one before */
  set(seconds, action) {
    this.clear();
    this.#handle = this.#timers.setTimeout(action, seconds * 1000);
  }

  clear() {
    this.#timers.clearTimeout(this.#handle);
    this.#handle = undefined;
  }
}

function lostState() {
  return globalThis.navigator?.onLine === false ? State.OFFLINE : State.RECONNECTING;
}

/** @param {unknown} data @returns {any} undefined: not a JSON object */
function parse(data) {
  try {
    const message = typeof data === "string" ? JSON.parse(data) : undefined;
    return typeof message === "object" && message !== null ? message : undefined;
  } catch {
    return undefined;
  }
}
