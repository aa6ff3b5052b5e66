// A followed conversation: its cursor and fold, its turns, its subscription over reconnects; knows no socket.

import { Backoff } from "./backoff.js";
import { Cursor, Verdict } from "./cursor.js";
import { TurnwireError } from "./errors.js";
import { Fold } from "./fold.js";
import { Observable } from "./observable.js";
import { Turn } from "./turn.js";
import { TurnLog } from "./turnlog.js";

/** @import { Expecting } from "./commands.js" */
/** @import { Timers } from "./connection.js" */
/** @import { Ack, CancelOutcome, Closed, Content, Event, Reset, SendOptions } from "./messages.js" */
/** @import { Turn as TurnForm } from "./fold.js" */

/**
 * What a conversation needs of its wire.
 * @typedef {object} Port
 * @property {(command: {type: string} & Record<string, unknown>, expecting: Expecting) => void} request
 * @property {() => boolean} isOpen
 * @property {() => TurnwireError | undefined} ended why there will be no connection any more
 * @property {(id: string, conversation: Conversation) => void} adopt throws TurnwireError: another has that id
 * @property {Timers} timers
 * @property {() => number} random
 */

/**
 * `state`: `new`, it has no id yet; `loading`, what was there when it was subscribed is not all applied yet; `live`,
 * it has been, and stays so over reconnects; `closed`, it cannot be followed, `error` says why.
 * @typedef {object} ConversationSnapshot
 * @property {string | undefined} id
 * @property {number} seq of the last event applied
 * @property {ReadonlyArray<Readonly<TurnForm>>} turns an untouched turn, or block in it, keeps its identity
 * @property {"new" | "loading" | "live" | "closed"} state
 * @property {{code: string, message: string}} [error]
 */

const Link = Object.freeze({
  /** Nobody wants it. */
  UNFOLLOWED: "unfollowed",
  /** For a connection, or to try again. */
  WAITING: "waiting",
  /** The ack of our subscribe is still to come. */
  SUBSCRIBING: "subscribing",
  SUBSCRIBED: "subscribed",
});

export class Conversation {
  /** @type {string | undefined} */
  #id;
  #port;
  #retries;
  #observable = new Observable();
  #cursor = new Cursor();
  #fold = new Fold();
  /** @type {Map<string, TurnLog>} */
  #logs = new Map();
  /** @type {Map<string, Turn>} those handed out that have not ended */
  #running = new Map();
  /** @type {(typeof Link)[keyof typeof Link]} */
  #link = Link.UNFOLLOWED;
  /** @type {ConversationSnapshot["state"]} */
  #state;
  /** @type {TurnwireError | undefined} */
  #error;
  /** @type {number | undefined} the seq that makes a `loading` one `live`; undefined until the ack tells it */
  #head;
  /** Counts subscribes, so that the reply of one that was overtaken is known. */
  #subscription = 0;
  /** @type {Promise<unknown> | undefined} the send that will give this conversation its id */
  #creating;
  /** @type {Readonly<ConversationSnapshot> | undefined} made when asked for */
  #snapshot;

  /**
   * @param {string | undefined} id
   * @param {Port} port
   */
  constructor(id, port) {
    this.#id = id;
    this.#port = port;
    this.#retries = new Backoff(port.random);
    this.#state = id === undefined ? "new" : "loading";
  }

  /** Undefined until the first send is acked. */
  get id() {
    return this.#id;
  }

  /**
   * Hear of changes: once per message of the server that made some. Begins to follow.
   * @param {() => void} listener
   * @returns {() => void} ends hearing; the conversation stays followed until `unfollow`
   */
  subscribe(listener) {
    this.#follow();
    return this.#observable.subscribe(listener);
  }

  /** @returns {Readonly<ConversationSnapshot>} immutable; its identity changes only on change */
  getSnapshot() {
    const error = this.#error && { code: this.#error.code, message: this.#error.message };
    return (this.#snapshot ??= {
      id: this.#id,
      seq: this.#fold.seq,
      turns: this.#fold.turns,
      state: this.#state,
      ...(error && { error }),
    });
  }

  /**
   * Ask. Resolves when the server has stored it; over a lost connection it is repeated under its key, and runs once.
   * @param {Content} content
   * @param {SendOptions} [options]
   * @returns {Promise<Turn>}
   * @throws {TurnwireError}
   */
  async send(content, options = {}) {
    const key = options.key ?? randomKey();
    // Two sends without an id would make two conversations.
    while (this.#id === undefined && this.#creating) await this.#creating.catch(() => {});
    this.#follow();
    const command = { ...options, type: "send", content, key, conversation: this.#id };
    const turn = this.#request(command, (ack) => this.#begun(ack));
    if (this.#id === undefined) {
      this.#creating = turn;
      turn.catch(() => {}).finally(() => (this.#creating = undefined));
    }
    return turn;
  }

  /**
   * Ask again what a turn asked; that turn and all after it become void, here and for every other reader.
   * @param {string} turn its id; this conversation must be followed, for its content
   * @returns {Promise<Turn>}
   * @throws {TurnwireError} `unknown_turn`: it is not among the snapshot's turns, or not on the server
   */
  async regenerate(turn) {
    const content = this.#fold.turns.find((other) => other.turn === turn)?.content;
    if (content === undefined) throw new TurnwireError("unknown_turn", "No such turn, or it is void already.");
    return this.edit(turn, content);
  }

  /**
   * Ask something else in place of a turn, which becomes void with all after it. For options, `send` with `retract`.
   * @param {string} turn its id
   * @param {Content} content
   * @returns {Promise<Turn>}
   * @throws {TurnwireError}
   */
  async edit(turn, content) {
    return this.send(content, { retract: turn });
  }

  /**
   * Stop a turn, or the one of the send with that key.
   * @param {{turn: string} | {key: string}} which
   * @returns {Promise<CancelOutcome>}
   * @throws {TurnwireError}
   */
  async cancel(which) {
    while (this.#id === undefined && this.#creating) await this.#creating.catch(() => {});
    if (this.#id === undefined) {
      throw new TurnwireError("unknown_conversation", "Nothing has been sent in it yet.");
    }
    const command = { ...which, type: "cancel", conversation: this.#id };
    return this.#request(command, ({ outcome }) => /** @type {CancelOutcome} */ (outcome));
  }

  /** Stop following. What is known stays; turns that have not ended fail here, and run on in the server. */
  unfollow() {
    if (this.#link === Link.UNFOLLOWED) return;
    if (this.#port.isOpen()) {
      const command = { type: "unsubscribe", conversation: this.#id };
      this.#port.request(command, { acked: () => {}, failed: () => {} });
    }
    this.#link = Link.UNFOLLOWED;
    this.#failRunning(new TurnwireError("closed", "The conversation is no longer followed."));
  }

  // What follows is for the wire.

  /** Commands may flow on a new connection. */
  opened() {
    if (this.#link === Link.WAITING) this.#subscribe();
  }

  /** The connection is lost; another will come. */
  lost() {
    if (this.#link !== Link.UNFOLLOWED) this.#link = Link.WAITING;
  }

  /** There will be no connection any more. @param {TurnwireError} error */
  ended(error) {
    if (this.#error !== error) this.#close(error);
  }

  /** @param {Event & {span?: number}} event */
  received(event) {
    if (this.#link === Link.UNFOLLOWED) return;
    const verdict = this.#cursor.judge(event);
    if (verdict === Verdict.RESUBSCRIBE && this.#link === Link.SUBSCRIBED) this.#subscribe();
    if (verdict !== Verdict.APPLY) return;
    this.#cursor.advance(event);
    this.#fold.apply(event);
    this.#log(event.turn).append(event);
    if (event.type === "done") this.#settle(event.turn);
    this.#arrive();
    this.#changed();
  }

  /** @param {Reset} message */
  reset({ epoch }) {
    if (this.#link === Link.UNFOLLOWED) return;
    // Its ack may have said so before.
    if (this.#cursor.epoch === epoch && this.#cursor.seq === 0) return;
    this.#drop(epoch);
    // Not the answer to our subscribe: nothing has told how far the replay goes.
    if (this.#link === Link.SUBSCRIBED) this.#subscribe();
  }

  /** @param {Closed} message */
  closed({ code, retryable }) {
    if (this.#link === Link.UNFOLLOWED) return;
    this.#refused(new TurnwireError(code, "The conversation cannot be followed.", { retryable }));
  }

  #follow() {
    if (this.#id === undefined || this.#link !== Link.UNFOLLOWED) return;
    const ended = this.#port.ended();
    if (ended) return this.ended(ended);
    this.#link = Link.WAITING;
    if (this.#state === "closed") this.#become("loading");
    if (this.#port.isOpen()) this.#subscribe();
  }

  #subscribe() {
    this.#link = Link.SUBSCRIBING;
    this.#head = undefined;
    const subscription = ++this.#subscription;
    const isCurrent = () => this.#link === Link.SUBSCRIBING && this.#subscription === subscription;
    const { epoch, seq: after } = this.#cursor;
    this.#port.request({ type: "subscribe", conversation: this.#id, after, epoch }, {
      acked: (ack) => {
        if (isCurrent()) this.#subscribed(ack, after);
      },
      failed: (error) => {
        // Of a lost connection the wire tells by `lost`.
        if (isCurrent()) this.#refused(error);
      },
    });
  }

  /** @param {Ack} ack @param {number} asked the seq we asked to go on after */
  #subscribed({ epoch, after, head }, asked) {
    this.#link = Link.SUBSCRIBED;
    this.#retries.reset();
    const isOther = this.#cursor.epoch !== undefined && this.#cursor.epoch !== epoch;
    if (isOther || (after ?? asked) < asked) this.#drop(epoch);
    this.#cursor.epoch = epoch;
    this.#head = head ?? 0;
    this.#arrive();
  }

  /** What we hold is not of this log, which is replayed from its start. @param {string | undefined} epoch */
  #drop(epoch) {
    this.#cursor = new Cursor();
    this.#cursor.epoch = epoch;
    this.#fold = new Fold();
    for (const log of this.#logs.values()) log.clear();
    this.#become("loading");
  }

  /** Has what was there at the ack been applied? */
  #arrive() {
    if (this.#state !== "loading" || this.#head === undefined || this.#cursor.seq < this.#head) return;
    this.#become("live");
    for (const [id, turn] of this.#running) {
      if (this.#fold.has(id) || this.#logs.get(id)?.isDone) continue;
      this.#running.delete(id);
      turn.fail(new TurnwireError("unknown_turn", "The server does not have that turn any more."));
    }
  }

  /** @param {TurnwireError} error of a subscribe, or the end of a subscription */
  #refused(error) {
    if (!error.retryable) return this.#close(error);
    this.#link = Link.WAITING;
    const seconds = (error.retryAfterSeconds ?? 0) + this.#retries.next();
    this.#port.timers.setTimeout(() => {
      if (this.#link === Link.WAITING && this.#port.isOpen()) this.#subscribe();
    }, seconds * 1000);
  }

  /** @param {TurnwireError} error */
  #close(error) {
    this.#link = Link.UNFOLLOWED;
    this.#error = error;
    this.#become("closed");
    this.#failRunning(error);
  }

  /** @param {Ack} ack of a send @returns {Turn} */
  #begun(ack) {
    const id = /** @type {string} */ (ack.turn);
    if (this.#id === undefined) this.#adopt(ack);
    // It may have been unfollowed meanwhile; a turn is wanted to its end.
    this.#follow();
    const known = this.#running.get(id);
    if (known) return known;
    const log = this.#log(id);
    const conversation = /** @type {string} */ (this.#id);
    const turn = new Turn(id, conversation, log, () => this.cancel({ turn: id }));
    this.#running.set(id, turn);
    if (log.isDone) this.#settle(id);
    return turn;
  }

  /** The first send is acked, which has subscribed this connection from `after`. @param {Ack} ack */
  #adopt({ conversation = "", epoch, after = 0 }) {
    this.#port.adopt(conversation, this);
    this.#id = conversation;
    this.#cursor.epoch = epoch;
    this.#become("loading");
    // A key that was used before may be of a later turn: then what came before it is missing.
    if (after > 0) return this.#subscribe();
    this.#link = Link.SUBSCRIBED;
    this.#head = 0;
    this.#arrive();
  }

  /** @param {string} id @returns {TurnLog} */
  #log(id) {
    const known = this.#logs.get(id);
    if (known) return known;
    const log = new TurnLog();
    this.#logs.set(id, log);
    return log;
  }

  /** @param {string} id */
  #settle(id) {
    this.#running.get(id)?.settle();
    this.#running.delete(id);
  }

  /** @param {TurnwireError} error */
  #failRunning(error) {
    for (const turn of this.#running.values()) turn.fail(error);
    this.#running.clear();
  }

  /**
   * @template T
   * @param {{type: string} & Record<string, unknown>} command idempotent
   * @param {(ack: Ack) => T} then
   * @returns {Promise<T>}
   */
  #request(command, then) {
    return new Promise((resolve, reject) => {
      /** @param {Ack} ack */
      const acked = (ack) => {
        try {
          resolve(then(ack));
        } catch (error) {
          reject(error);
        }
      };
      this.#port.request(command, { acked, failed: reject, repeats: true });
    });
  }

  /** @param {ConversationSnapshot["state"]} state */
  #become(state) {
    this.#state = state;
    if (state !== "closed") this.#error = undefined;
    this.#changed();
  }

  #changed() {
    this.#snapshot = undefined;
    this.#observable.changed();
  }
}

/** 128 random bits. `crypto.randomUUID` is absent from pages that came over plain HTTP. */
function randomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
