// Turnwire's browser client: connect, follow conversations, ask, stop. Without dependencies; speaks turnwire.v1.

import { Commands } from "./commands.js";
import { Connection, State } from "./connection.js";
import { Conversation } from "./conversation.js";
import { TurnwireError, blameOf } from "./errors.js";
import { Observable } from "./observable.js";

/** @import { ConnectionSnapshot, Timers, WebSocketClass } from "./connection.js" */

export { Conversation, TurnwireError };
/** @typedef {import("./conversation.js").ConversationSnapshot} ConversationSnapshot */
/** @typedef {import("./turn.js").Turn} Turn */
/** @typedef {import("./turn.js").Reply} Reply */
/** @typedef {import("./fold.js").Turn} TurnForm */
/** @typedef {import("./fold.js").Block} Block */
/** @typedef {ConnectionSnapshot} WireSnapshot */
/** @typedef {import("./messages.js").Event} Event */
/** @typedef {import("./messages.js").SendOptions} SendOptions */

/**
 * @typedef {object} ConnectOptions
 * @property {string} [token] for a service that wants one
 * @property {WebSocketClass} [WebSocket] where the platform has none; the platform's unless given
 * @property {Timers} [timers] for tests
 * @property {() => number} [random] uniform in [0, 1); for tests
 */

/**
 * Connect to a Turnwire service. Returns at once; the connection is made, and made again when lost, in the background.
 * @param {string | URL} url of the service, ws(s):// or http(s)://, or relative to the page; `/v1/ws` is added unless it is there
 * @param {ConnectOptions} [options]
 * @returns {Wire}
 * @throws {TypeError | DOMException} no such URL
 */
export function connect(url, options = {}) {
  return new Wire(socketUrl(url), options);
}

/** One connection, and the conversations followed over it. Made by `connect`. */
export class Wire {
  /** @type {Map<string, Conversation>} */
  #conversations = new Map();
  #observable = new Observable();
  #connection;
  #commands;
  #port;

  /**
   * @param {string} url ws:// or wss://
   * @param {ConnectOptions} options
   */
  constructor(url, { token, WebSocket = globalThis.WebSocket, timers = platformTimers, random = Math.random }) {
    this.#commands = new Commands((text) => this.#connection.transmit(text));
    this.#connection = new Connection(url, { token, WebSocket, timers, random }, {
      opened: ({ limits }) => {
        this.#commands.opened(limits.max_frame_bytes);
        // Subscriptions first, so that a repeated send does not subscribe its conversation from elsewhere.
        this.#each((chat) => chat.opened());
        this.#commands.resume();
      },
      received: (message) => this.#received(message),
      lost: (closeCode) => {
        this.#each((chat) => chat.lost());
        this.#commands.lost(blameOf(closeCode));
      },
      ended: (error) => {
        this.#each((chat) => chat.ended(error));
        this.#commands.end(error);
      },
      changed: () => this.#observable.changed(),
    });
    this.#port = {
      /** @type {Commands["request"]} */
      request: (command, expecting) => this.#commands.request(command, expecting),
      isOpen: () => this.#connection.snapshot.state === State.OPEN,
      ended: () => this.#commands.ended,
      /** @param {string} id @param {Conversation} chat */
      adopt: (id, chat) => this.#adopt(id, chat),
      timers,
      random,
    };
  }

  /**
   * Hear of changes of the connection.
   * @param {() => void} listener
   * @returns {() => void} ends it
   */
  subscribe(listener) {
    return this.#observable.subscribe(listener);
  }

  /** @returns {Readonly<ConnectionSnapshot>} immutable; its identity changes only on change */
  getSnapshot() {
    return this.#connection.snapshot;
  }

  /** Try now, instead of when the back-off says. */
  reconnect() {
    this.#connection.reconnect();
  }

  /** For good. What still waits fails with the code `closed`; running turns run on in the server. */
  close() {
    this.#connection.close();
  }

  /**
   * A conversation; the same id gives the same object. Followed as soon as somebody listens to it or sends in it.
   * @param {string} [id] absent: a new one, made by its first send
   * @returns {Conversation}
   */
  conversation(id) {
    const known = id === undefined ? undefined : this.#conversations.get(id);
    if (known) return known;
    const chat = new Conversation(id, this.#port);
    if (id !== undefined) this.#conversations.set(id, chat);
    return chat;
  }

  /** @param {any} message */
  #received(message) {
    switch (message.type) {
      case "ack":
      case "reject":
        return this.#commands.settle(message);
      case "going_away":
        this.#commands.drain();
        return this.#connection.bePatient(message.reconnect_after_seconds);
      case "reset":
        return this.#conversations.get(message.conversation)?.reset(message);
      case "closed":
        return this.#conversations.get(message.conversation)?.closed(message);
      default:
        // Events, of later versions too, have a seq; anything else that is unknown is ignored.
        if (typeof message.seq === "number") {
          this.#conversations.get(message.conversation)?.received(message);
        }
    }
  }

  /** @param {string} id @param {Conversation} chat that was new until now */
  #adopt(id, chat) {
    if (this.#conversations.has(id)) {
      throw new TurnwireError("key_reused", `That key belongs to ${id}, which another object follows.`);
    }
    this.#conversations.set(id, chat);
  }

  /** @param {(chat: Conversation) => void} tell */
  #each(tell) {
    for (const chat of [...this.#conversations.values()]) tell(chat);
  }
}

/** @type {Timers} */
const platformTimers = {
  setTimeout: (callback, milliseconds) => setTimeout(callback, milliseconds),
  clearTimeout: (handle) => clearTimeout(handle),
  now: () => Date.now(),
};

/** @param {string | URL} url */
function socketUrl(url) {
  const address = new URL(url, globalThis.document?.baseURI);
  address.protocol = address.protocol.replace(/^http/, "ws");
  address.hash = "";
  if (!address.pathname.endsWith("/v1/ws")) address.pathname = address.pathname.replace(/\/*$/, "/v1/ws");
  return address.href;
}
