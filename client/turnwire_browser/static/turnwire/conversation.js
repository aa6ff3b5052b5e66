// A followed conversation: its cursor and fold, its turns, what is asked in it; knows no socket.

import { Answers } from "./answers.js";
import { Cursor, Verdict } from "./cursor.js";
import { TurnwireError, nothingSent } from "./errors.js";
import { FoldedConversation } from "./fold.js";
import { Observable } from "./observable.js";
import { Past } from "./past.js";
import { randomId } from "./random.js";
import { Replaced } from "./replaced.js";
import { Subscription } from "./subscription.js";
import { Turn } from "./turn.js";
import { Turns } from "./turns.js";

/** @import { Ack, CancelOutcome, Closed, Content, Event, Reset, Send } from "./messages.js" */
/** @import { FoldedTurn } from "./fold.js" */
/** @import { Port } from "./turnwire.js" */

/**
 * What a send can say besides its content; the options of the turn only as far as the server lets clients choose.
 * `client_tools` are answered with `toolOutput`, besides the tools of the wire. The same `key` twice is one send, and
 * gives its turn; random unless given.
 * @typedef {Partial<Omit<Send, "type" | "id" | "content" | "conversation" | "runner">>} SendOptions
 */

/**
 * `state`: `new`, it has no id yet; `loading`, what was there when it was subscribed is not all applied yet; `live`,
 * it has been, and stays so over reconnects; `closed`, it cannot be followed, `error` says why.
 * @typedef {object} ConversationSnapshot
 * @property {string | undefined} id
 * @property {number} seq of the last event applied
 * @property {ReadonlyArray<Readonly<FoldedTurn>>} turns an untouched turn, or block in it, keeps its identity
 * @property {"new" | "loading" | "live" | "closed"} state
 * @property {true} [hasOlder] there are turns before these, which `loadOlder` brings: with the option `lastTurns` only
 * @property {{code: string, message: string}} [error]
 */

const OLDER_TURNS = 50;

export class Conversation {
  /** @type {string | undefined} */
  #id;
  #port;
  #answers;
  /** @type {Subscription} */
  #subscription;
  #observable = new Observable();
  #cursor = new Cursor();
  #fold = new FoldedConversation();
  #turns = new Turns();
  #replaced = new Replaced();
  /** Of sends whose key was made here: nobody else can have sent those. @type {Set<string>} */
  #keys = new Set();
  /** @type {Past} */
  #past;
  /** The lowest seq of a message whose turn was sent from here: all of these are needed. */
  #needed = Infinity;
  /** It was unfollowed, and stays subscribed for the calls that run here. */
  #isLeaving = false;
  /** @type {ConversationSnapshot["state"]} */
  #state;
  /** @type {TurnwireError | undefined} */
  #error;
  /** @type {number | undefined} the seq up to which it is behind; undefined until the ack tells it */
  #head;
  /** Whether a call may wait for this wire's tools that they have not seen. */
  #hasCalls = false;
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
    this.#answers = new Answers(port, () => this.#id, (toolId, verdict) => {
      return this.#observable.until(() => {
        const call = this.#fold.call(toolId);
        return (call && verdict(call)) ?? (this.#subscription.isWanted ? undefined : false);
      });
    });
    this.#subscription = new Subscription(port, {
      place: () => {
        this.#head = undefined;
        return { conversation: this.#id, epoch: this.#cursor.epoch, after: this.#cursor.seq, last: this.#past.last };
      },
      onAck: (ack, asked) => this.#takeSubscription(ack, asked),
      onEnd: (error) => {
        if (error.code !== "bad_command" || this.#past.last === undefined) return this.#close(error);
        // A server that is older than `last`: it gives all.
        this.#past.last = undefined;
        this.#subscription.ask();
      },
    });
    this.#past = new Past(port.http, {
      place: () => ({ id: this.#id, epoch: this.#cursor.epoch, first: this.#fold.turns[0]?.turn }),
      reached: (seq) => this.#observable.until(() => {
        if (this.#cursor.seq >= seq) return true;
        return this.#subscription.isWanted ? undefined : false;
      }),
      put: ({ turns, replaced = {} }) => {
        this.#fold.prepend(turns);
        this.#replaced.add(replaced);
        this.#fold.isEnd = this.#past.hasMore;
        this.#notify();
      },
    }, port.lastTurns);
    this.#state = id === undefined ? "new" : "loading";
    const first = this.getSnapshot();
    this.getServerSnapshot = () => first;
  }

  /** Undefined until the first send is acked. */
  get id() {
    return this.#id;
  }

  /**
   * Hear of changes: once per message of the server that made some. Begins to follow. Bound, as React wants it.
   * @param {() => void} listener
   * @returns {() => void} ends hearing; the conversation stays followed until `unfollow`
   */
  subscribe = (listener) => {
    this.#follow();
    return this.#observable.subscribe(listener);
  };

  /** @returns {Readonly<ConversationSnapshot>} immutable; its identity changes only on change. Bound */
  getSnapshot = () => {
    const error = this.#error && { code: this.#error.code, message: this.#error.message };
    return (this.#snapshot ??= {
      id: this.#id,
      seq: this.#fold.seq,
      turns: this.#fold.turns,
      state: this.#state,
      ...(this.#past.hasMore && { hasOlder: true }),
      ...(error && { error }),
    });
  };

  /**
   * What `getSnapshot` gave before anything had come: what a server rendered, and what a browser has to begin with when it
   * takes that over, however late.
   * @type {() => Readonly<ConversationSnapshot>}
   */
  getServerSnapshot;

  /**
   * Ask. Resolves when the server has stored it; over a lost connection it is repeated under its key, and runs once.
   * @param {Content} content
   * @param {SendOptions} [options]
   * @returns {Promise<Turn>}
   * @throws {TurnwireError}
   */
  async send(content, options = {}) {
    const key = options.key ?? randomId();
    if (options.key === undefined) this.#keys.add(key);
    // Two sends without an id would make two conversations.
    while (this.#id === undefined && this.#creating) await this.#creating.catch(() => {});
    this.#follow();
    const offer = this.#port.runner.offer(options.client_tools);
    const command = { ...options, ...offer, type: "send", content, key, conversation: this.#id };
    const turn = this.#port.ask(command, (ack, isRepeated) => {
      if (offer.client_tools) this.#turns.serve(ack.turn ?? "");
      return this.#begin(ack, isRepeated);
    });
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
   * The turns in whose place this one was sent, by `regenerate`, `edit` or `retract`; the earliest first. They are void: the
   * model is not shown them. Those of turns that are not here yet come with `loadOlder`.
   * @param {string} turn its id
   * @returns {Readonly<FoldedTurn>[]}
   */
  replacedBy(turn) {
    return this.#replaced.of(turn);
  }

  /**
   * Stop a turn, or the one of the send with that key.
   * @param {{turn: string} | {key: string}} which
   * @returns {Promise<CancelOutcome>}
   * @throws {TurnwireError}
   */
  async cancel(which) {
    while (this.#id === undefined && this.#creating) await this.#creating.catch(() => {});
    if (this.#id === undefined) throw nothingSent();
    const command = { ...which, type: "cancel", conversation: this.#id };
    return this.#port.ask(command, ({ outcome }) => /** @type {CancelOutcome} */ (outcome));
  }

  /**
   * Bring turns that stand before those of the snapshot, if it says `hasOlder`; resolves when they are in it. While one call
   * is under way, further ones are the same.
   * @param {number} [count] how many; as many as `lastTurns` says unless given
   * @returns {Promise<void>}
   * @throws {TurnwireError} `network_error`, …: what is there stays, and it may be tried again
   */
  loadOlder(count = this.#port.lastTurns ?? OLDER_TURNS) {
    return this.#past.load(count);
  }

  /**
   * Answer a call that waits for a decision.
   * @param {string} toolId
   * @param {"allow" | "deny"} decision
   * @param {{input?: Record<string, unknown>, reason?: string}} [more] with `allow`, the input to run with instead; with
   *   `deny`, why: for the model
   * @returns {Promise<void>}
   * @throws {TurnwireError} `already_decided`: somebody was faster; `unknown_tool_call`: it no longer waits;
   *   `bad_command` or `too_large`: the input was refused, and the call still waits
   */
  decide(toolId, decision, more = {}) {
    return this.#answers.decide(toolId, decision, more);
  }

  /**
   * Give the result of a call that runs here: of one of `client_tools`, or of a tool of the wire without `run`.
   * @param {string} toolId
   * @param {Content} content
   * @param {{isError?: boolean}} [options]
   * @returns {Promise<void>}
   * @throws {TurnwireError} `already_decided`: it has its result; `unknown_tool_call`: it no longer waits; other codes:
   *   the content was refused, and the call still waits
   */
  toolOutput(toolId, content, { isError = false } = {}) {
    return this.#answers.output(toolId, content, isError);
  }

  /**
   * Tell the readers how far a call is that runs here; at most every 100 ms, and only while there is a connection.
   * @param {string} toolId
   * @param {string} message
   * @param {number} [fraction] from 0 to 1
   */
  toolProgress(toolId, message, fraction) {
    if (this.#id === undefined || !this.#port.isOpen()) return;
    const report = this.#port.runner.report(toolId, message, fraction);
    if (report) this.#port.post({ ...report, type: "progress", conversation: this.#id });
  }

  /**
   * Stop following. What is known stays; turns that have not ended fail here, and run on in the server. Calls of tools
   * here go on: the server is listened to until the turns that may make some have ended.
   */
  unfollow() {
    if (!this.#subscription.isWanted) return;
    this.#isLeaving = true;
    this.#leave();
    this.#turns.fail(new TurnwireError("closed", "The conversation is no longer followed."));
  }

  // The methods below are called by the wire.

  /** Commands may flow on a new connection. */
  onOpen() {
    this.#subscription.onOpen();
  }

  /** The connection is lost; another will come. */
  onLoss() {
    this.#subscription.onLoss();
  }

  /** There will be no further connection. @param {TurnwireError} error */
  onEnd(error) {
    if (this.#error !== error) this.#close(error);
  }

  /** @param {Event & {span?: number}} event */
  onEvent(event) {
    if (!this.#subscription.isWanted) return;
    const verdict = this.#cursor.judge(event);
    if (verdict === Verdict.RESUBSCRIBE && this.#subscription.stands) this.#subscription.ask();
    if (verdict !== Verdict.APPLY) return;
    this.#cursor.advance(event);
    if (event.type === "retract") this.#replaced.note(event, this.#fold.turns);
    this.#fold.apply(event);
    this.#turns.append(event);
    if (event.type === "retract") this.#past.retract(event.seq);
    if (event.type === "tool_result") this.#port.runner.settle(event.tool_id);
    if (event.type === "done") this.#port.runner.endTurn(event.turn);
    if (event.type === "tool_executing") this.#hasCalls = true;
    this.#notify();
    this.#checkArrival();
  }

  /** @param {Reset} message */
  onReset({ epoch }) {
    if (!this.#subscription.isWanted) return;
    // Its ack may have said so before.
    if (this.#cursor.epoch === epoch && this.#cursor.seq === 0) return;
    this.#drop(epoch);
    // Not the answer to our subscribe: nothing has told how far the replay goes.
    if (this.#subscription.stands) this.#subscription.ask();
  }

  /** @param {Closed} message */
  onClosed({ code, retryable }) {
    if (!this.#subscription.isWanted) return;
    this.#subscription.refuse(new TurnwireError(code, "The conversation cannot be followed.", { retryable }));
  }

  /** Unsubscribe, if that is wanted and no call is to run here: the server gives up those whose runner has gone. */
  #leave() {
    if (!this.#isLeaving || this.#turns.isServing || this.#port.runner.hasCalls(this.#fold.turns)) return;
    this.#subscription.leave();
    this.#observable.notify();
  }

  #follow() {
    this.#isLeaving = false;
    if (this.#id === undefined || this.#subscription.isWanted) return;
    const failure = this.#port.failure();
    if (failure) return this.onEnd(failure);
    if (this.#state === "closed") this.#become("loading");
    this.#subscription.want();
  }

  /** @param {Ack} ack @param {number} asked the seq we asked to go on after */
  #takeSubscription({ epoch, after, head }, asked) {
    const isOther = this.#cursor.epoch !== undefined && this.#cursor.epoch !== epoch;
    if (isOther || (after ?? asked) < asked) this.#drop(epoch);
    this.#cursor.epoch = epoch;
    if (asked === 0 && this.#past.last !== undefined) this.#beginAfter(after ?? 0);
    this.#head = head ?? 0;
    this.#checkArrival();
  }

  /** The subscription began with the last turns. @param {number} seq */
  #beginAfter(seq) {
    // What comes was applied before, from an earlier subscription.
    if (seq <= this.#cursor.seq) return;
    if (this.#cursor.seq > 0) this.#drop(this.#cursor.epoch);
    this.#cursor.seq = this.#fold.seq = seq;
    this.#fold.isEnd = true;
    this.#past.beginAfter(seq);
    this.#notify();
    if (this.#needed <= seq) this.#readAll();
  }

  /** A turn is waited for here that began before what is held: its events are needed too. */
  #readAll() {
    this.#past.last = undefined;
    this.#drop(this.#cursor.epoch);
    this.#subscription.ask();
  }

  /** Drop everything held: the server has another log, and replays it from its start. @param {string | undefined} epoch */
  #drop(epoch) {
    this.#cursor = new Cursor();
    this.#cursor.epoch = epoch;
    this.#fold = new FoldedConversation();
    this.#turns.clear();
    this.#past.beginAfter(0);
    this.#needed = Infinity;
    this.#replaced.clear();
    this.#become("loading");
  }

  /** Go live once everything up to the head that the ack told has been applied. */
  #checkArrival() {
    if (this.#head === undefined || this.#cursor.seq < this.#head) return;
    const isLoading = this.#state === "loading";
    if (isLoading) {
      this.#become("live");
      const error = new TurnwireError("unknown_turn", "The server does not have that turn any more.");
      this.#turns.failMissing((turn) => this.#fold.has(turn), error);
    }
    if (this.#hasCalls) {
      this.#hasCalls = false;
      // A call that is older than this wire's subscription may have been begun by the page that had its `runner` before.
      this.#port.runner.runWaiting(this, this.#fold.turns, ({ key = "" }) => isLoading && !this.#keys.has(key));
    }
    this.#leave();
  }

  /** @param {TurnwireError} error */
  #close(error) {
    this.#subscription.end();
    this.#error = error;
    this.#become("closed");
    this.#turns.fail(error);
  }

  /** @param {Ack} ack of a send @param {boolean} isRepeated @returns {Turn} */
  #begin(ack, isRepeated) {
    const id = /** @type {string} */ (ack.turn);
    if (this.#id === undefined) this.#adopt(ack, isRepeated);
    // It may have been unfollowed meanwhile; a turn is wanted to its end.
    this.#follow();
    this.#needed = Math.min(this.#needed, ack.seq ?? Infinity);
    if (this.#needed <= this.#past.begin) this.#readAll();
    const conversation = /** @type {string} */ (this.#id);
    return this.#turns.hold(id, (log) => new Turn(id, conversation, log, () => this.cancel({ turn: id })));
  }

  /** The first send is acked, which has subscribed this connection from `after`. @param {Ack} ack @param {boolean} isRepeated */
  #adopt({ conversation = "", epoch, after = 0 }, isRepeated) {
    this.#port.adopt(conversation, this);
    this.#id = conversation;
    this.#cursor.epoch = epoch;
    this.#become("loading");
    // A key that was used before may be of a later turn, and what came before it is missing; or much of the turn has
    // been, and a head must tell how much.
    if (after > 0 || isRepeated) return this.#subscription.ask();
    this.#subscription.adopt();
    this.#head = 0;
    this.#checkArrival();
  }

  /** @param {ConversationSnapshot["state"]} state */
  #become(state) {
    this.#state = state;
    if (state !== "closed") this.#error = undefined;
    this.#notify();
  }

  #notify() {
    this.#snapshot = undefined;
    this.#observable.notify();
  }
}
