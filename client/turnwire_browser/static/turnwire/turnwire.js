// Turnwire's browser client: connect, follow conversations, ask, stop. Without dependencies; speaks turnwire.v1.

import { Blobs } from "./blobs.js";
import { PendingCommands } from "./pending.js";
import { Connection, State, UNCONNECTED } from "./connection.js";
import { Conversation } from "./conversation.js";
import { TurnwireError, blameOf } from "./errors.js";
import { Http } from "./http.js";
import { Observable } from "./observable.js";
import { Runner } from "./runner.js";
import { Sources, noted } from "./sources.js";

/** @import { ConnectionSnapshot, Timers, Token, WebSocketClass } from "./connection.js" */
/** @import { AttachmentBlock } from "./messages.js" */
/** @import { Tool } from "./runner.js" */

export { Conversation, Sources, TurnwireError, noted };
/** @typedef {import("./conversation.js").ConversationSnapshot} ConversationSnapshot */
/** @typedef {import("./conversation.js").SendOptions} SendOptions */
/** @typedef {import("./turn.js").Turn} Turn */
/** @typedef {import("./turn.js").Reply} Reply */
/** @typedef {import("./fold.js").FoldedTurn} FoldedTurn */
/** @typedef {import("./fold.js").Block} Block */
/** @typedef {import("./fold.js").TextBlock} TextBlock */
/** @typedef {import("./fold.js").ThinkingBlock} ThinkingBlock */
/** @typedef {import("./fold.js").ToolBlock} ToolBlock */
/** @typedef {ConnectionSnapshot} WireSnapshot */
/** @typedef {import("./messages.js").Event} Event */
/** @typedef {import("./messages.js").Citation} Citation */
/** @typedef {import("./messages.js").Content} Content */
/** @typedef {import("./messages.js").ContentBlock} ContentBlock */
/** @typedef {import("./runner.js").ToolContext} ToolContext */
/** @typedef {import("./sources.js").Source} Source */

/**
 * @typedef {object} ConnectOptions
 * @property {Token} [token] for a service that wants one; a function fetches it when it is needed
 * @property {string} [runner] the `runner` of an earlier wire that this one replaces, for example one kept over a reload.
 *   Only one wire may use it at a time: a page stores it when it is hidden, because a duplicated tab copies its storage
 * @property {number} [lastTurns] open conversations with their last so many turns only, so that long ones open as fast as short
 *   ones; `conversation.loadOlder()` brings the others. With all of them unless given
 * @property {WebSocketClass} [WebSocket] where the platform has none; the platform's unless given
 * @property {Timers} [timers] for tests
 * @property {() => number} [random] uniform in [0, 1); for tests
 */

/**
 * Connect to a Turnwire service. Returns at once, and does nothing on the network before somebody needs it: subscribes to
 * the wire, follows a conversation, or sends. From then on the connection is made, and made again when lost, in the background.
 * @param {string | URL} url of the service, ws(s):// or http(s)://, or relative to the page; `/v1/ws` is added unless it is there
 * @param {ConnectOptions} [options]
 * @returns {Wire}
 * @throws {TypeError} no such URL, or of another protocol
 */
export function connect(url, options = {}) {
  return new Wire(socketUrl(url), options);
}

/**
 * What a conversation needs of its wire.
 * @typedef {object} Port
 * @property {PendingCommands["request"]} request
 * @property {PendingCommands["ask"]} ask
 * @property {PendingCommands["post"]} post
 * @property {() => void} connect somebody needs the connection
 * @property {() => boolean} isOpen
 * @property {() => TurnwireError | undefined} failure why there will be no further connection
 * @property {(id: string, conversation: Conversation) => void} adopt throws TurnwireError: another has that id
 * @property {Http} http
 * @property {number | undefined} lastTurns
 * @property {Runner} runner
 * @property {Timers} timers
 * @property {() => number} random
 */

/** One connection, and the conversations followed over it. Made by `connect`. */
export class Wire {
  /** @type {Map<string, Conversation>} */
  #conversations = new Map();
  #observable = new Observable();
  #connection;
  #pending;
  #runner;
  #blobs;
  /** @type {Port} */
  #port;

  /**
   * @param {string | undefined} url ws:// or wss://; undefined: relative, and there is no page
   * @param {ConnectOptions} options
   */
  constructor(url, options) {
    const { token, runner, lastTurns, WebSocket = globalThis.WebSocket, timers = platformTimers, random = Math.random } = options;
    this.#runner = new Runner(runner, () => timers.now());
    const http = new Http(url?.replace(/^ws/, "http").replace(/\/ws(\?.*)?$/, ""), token);
    this.#blobs = new Blobs(http, () => this.getSnapshot().welcome?.limits.max_blob_bytes);
    this.#pending = new PendingCommands({
      transmit: (text) => this.#connection.transmit(text),
      connect: () => this.#connection.start(),
    });
    this.#connection = new Connection(url, { token, WebSocket, timers, random }, {
      onOpen: ({ limits }) => {
        this.#pending.open(limits.max_frame_bytes);
        // Subscriptions first, so that a repeated send does not subscribe its conversation from elsewhere.
        this.#each((chat) => chat.onOpen());
        this.#pending.resume();
      },
      onMessage: (message) => this.#receive(message),
      onLoss: (closeCode) => {
        this.#each((chat) => chat.onLoss());
        this.#pending.lose(blameOf(closeCode));
      },
      onEnd: (error) => {
        this.#runner.close();
        this.#each((chat) => chat.onEnd(error));
        this.#pending.end(error);
      },
      onChange: () => this.#observable.notify(),
    });
    this.#port = {
      request: this.#pending.request.bind(this.#pending),
      ask: this.#pending.ask.bind(this.#pending),
      post: this.#pending.post.bind(this.#pending),
      connect: () => this.#connection.start(),
      isOpen: () => this.#connection.snapshot.state === State.OPEN,
      failure: () => this.#pending.failure,
      adopt: (id, chat) => this.#adopt(id, chat),
      http,
      lastTurns,
      runner: this.#runner,
      timers,
      random,
    };
  }

  /**
   * Hear of changes of the connection, which is made. Bound, as React wants it.
   * @param {() => void} listener
   * @returns {() => void} ends it
   */
  subscribe = (listener) => {
    const end = this.#observable.subscribe(listener);
    this.#connection.start();
    return end;
  };

  /** @returns {Readonly<ConnectionSnapshot>} immutable; its identity changes only on change. Bound */
  getSnapshot = () => this.#connection.snapshot;

  /** What `getSnapshot` gave before there was a connection, for server rendering. Bound. @returns {Readonly<ConnectionSnapshot>} */
  getServerSnapshot = () => UNCONNECTED;

  /** Try now, instead of when the back-off says. */
  reconnect() {
    this.#connection.reconnect();
  }

  /** Close for good. What still waits fails with the code `closed`; running turns run on in the server. */
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

  /** How a `tool_executing` names this wire, random. */
  get runner() {
    return this.#runner.id;
  }

  /**
   * Let the model call a function of this program: every send from now on offers it. A call runs here only, and once,
   * whatever becomes of the connection meanwhile.
   * @template [Input=Record<string, unknown>]
   * @param {Tool<Input>} tool
   * @throws {TypeError} it cannot be one, or there is one of this name
   */
  tool(tool) {
    this.#runner.add(tool);
  }

  /**
   * Put in an image or a PDF, for the content of a message or of a tool's result.
   * @param {Blob} blob its `type` is `image/png`, `image/jpeg`, `image/gif`, `image/webp` or `application/pdf`
   * @param {{name?: string, signal?: AbortSignal}} [options] `name`: what the user calls it
   * @returns {Promise<AttachmentBlock>}
   * @throws {TurnwireError | DOMException} `too_large`, `bad_command`, `network_error`, …; or aborted by the signal
   */
  upload(blob, options = {}) {
    return this.#blobs.upload(blob, options);
  }

  /**
   * The bytes of an image or document.
   * @param {Pick<AttachmentBlock, "blob">} block
   * @param {{signal?: AbortSignal}} [options]
   * @returns {Promise<Blob>}
   * @throws {TurnwireError | DOMException} `not_found`, `network_error`, …; or aborted by the signal
   */
  download(block, options = {}) {
    return this.#blobs.download(block, options);
  }

  /**
   * A file that a tool of the provider made in this conversation, with its name; the `files` of a result are their ids.
   * @param {string} conversation
   * @param {string} file
   * @param {{signal?: AbortSignal}} [options]
   * @returns {Promise<File>}
   * @throws {TurnwireError} `not_found`, …
   */
  downloadFile(conversation, file, options = {}) {
    return this.#blobs.downloadFile(conversation, file, options);
  }

  /** @param {any} message */
  #receive(message) {
    switch (message.type) {
      case "ack":
      case "reject":
        return this.#pending.settle(message);
      case "going_away":
        this.#pending.drain();
        return this.#connection.bePatient(message.reconnect_after_seconds);
      case "reset":
        return this.#conversations.get(message.conversation)?.onReset(message);
      case "closed":
        return this.#conversations.get(message.conversation)?.onClosed(message);
      default:
        // Events, of later versions too, have a seq; anything else that is unknown is ignored.
        if (typeof message.seq === "number") {
          this.#conversations.get(message.conversation)?.onEvent(message);
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

/** @param {string | URL} url @returns {string | undefined} undefined: relative, and there is no page */
function socketUrl(url) {
  const page = globalThis.document?.baseURI ?? globalThis.location?.href;
  // A page that is rendered on a server has no address yet, and needs none: it connects in the browser.
  if (page === undefined && !/^[a-z][a-z\d+.-]*:/i.test(String(url))) return undefined;
  const address = new URL(url, page);
  address.protocol = address.protocol.replace(/^http/, "ws");
  if (!/^wss?:$/.test(address.protocol)) throw new TypeError(`Not a URL of a service: ${url}`);
  address.hash = "";
  if (!address.pathname.endsWith("/v1/ws")) address.pathname = address.pathname.replace(/\/*$/, "/v1/ws");
  return address.href;
}
