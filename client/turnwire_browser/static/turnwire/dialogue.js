// A conversation as a page uses it: what it is doing, what went wrong, and what its buttons do; knows no React.

import { TurnwireError } from "./errors.js";
import { Observable } from "./observable.js";

/** @import { ConnectionSnapshot } from "./connection.js" */
/** @import { Conversation, ConversationSnapshot, SendOptions } from "./conversation.js" */
/** @import { Content } from "./messages.js" */
/** @import { Turn } from "./turn.js" */
/** @import { Wire } from "./turnwire.js" */

/**
 * What went wrong last: a refused command, the end of the connection, or the newest turn. `code` is one of PROTOCOL.md or
 * of a TurnwireError.
 * @typedef {{readonly code: string, readonly message: string}} Failure
 */

/**
 * `status`: `submitted`, it was asked and nothing of the answer is there yet; `streaming`; `error`, nothing runs and
 * `error` says why; `ready`. `id` is undefined until the first send of a new conversation is acked.
 * @typedef {Pick<ConversationSnapshot, "id" | "turns" | "state" | "hasOlder"> & {
 *   status: "ready" | "submitted" | "streaming" | "error",
 *   error: Failure | undefined,
 *   connection: Readonly<ConnectionSnapshot>,
 * }} DialogueSnapshot
 */

/** @type {WeakMap<Conversation, Dialogue>} */
const dialogues = new WeakMap();

/** The one dialogue of a conversation, however many views it has. @param {Wire} wire @param {Conversation} conversation */
export function dialogueOf(wire, conversation) {
  const known = dialogues.get(conversation);
  if (known) return known;
  const dialogue = new Dialogue(wire, conversation);
  dialogues.set(conversation, dialogue);
  return dialogue;
}

/** Its functions are bound, and none of them throws a TurnwireError: what was refused is the snapshot's `error`. */
export class Dialogue {
  #wire;
  #observable = new Observable();
  #listeners = 0;
  /** Sends whose turn is not among the conversation's yet. @type {ReadonlyArray<Promise<Turn>>} replaced, never changed */
  #sending = [];
  /** @type {TurnwireError | undefined} of the last command */
  #refusal;
  /** What the snapshot was made of. @type {unknown[]} */
  #parts = [];
  /** @type {Readonly<DialogueSnapshot>} */
  #snapshot;

  /**
   * @param {Wire} wire
   * @param {Conversation} conversation of that wire
   */
  constructor(wire, conversation) {
    this.#wire = wire;
    this.conversation = conversation;
    const first = snapshotOf(conversation.getServerSnapshot(), wire.getServerSnapshot(), undefined, false);
    this.#snapshot = first;
    this.getServerSnapshot = () => first;
  }

  /**
   * Hear of changes. Follows the conversation until the last listener has left.
   * @param {() => void} listener
   * @returns {() => void} ends it
   */
  subscribe = (listener) => {
    this.#listeners += 1;
    const ends = [this.#wire, this.conversation, this.#observable].map((subject) => subject.subscribe(listener));
    return () => {
      for (const end of ends) end();
      this.#listeners -= 1;
      // React's StrictMode leaves and comes back at once, as do two views of which one takes the other's place.
      queueMicrotask(() => this.#rest());
    };
  };

  /** @returns {Readonly<DialogueSnapshot>} immutable; its identity changes only on change */
  getSnapshot = () => {
    const [said, connection] = [this.conversation.getSnapshot(), this.#wire.getSnapshot()];
    const parts = [said, connection, this.#refusal, this.#sending];
    if (parts.some((part, index) => part !== this.#parts[index])) {
      this.#parts = parts;
      this.#snapshot = snapshotOf(said, connection, this.#refusal, this.#sending.length > 0);
    }
    return this.#snapshot;
  };

  /** For server rendering, and for taking over what a server rendered. @type {() => Readonly<DialogueSnapshot>} */
  getServerSnapshot;

  /**
   * Ask.
   * @param {Content} content
   * @param {SendOptions} [options]
   * @returns {Promise<Turn | undefined>} once the server has stored it; undefined: it was refused
   */
  send = (content, options) => this.#ask(() => this.conversation.send(content, options));

  /**
   * Ask again what a turn asked; that turn and all after it become void.
   * @param {string} turn its id
   * @returns {Promise<Turn | undefined>}
   */
  regenerate = (turn) => this.#ask(() => this.conversation.regenerate(turn));

  /**
   * Ask something else in place of a turn, which becomes void with all after it.
   * @param {string} turn its id
   * @param {Content} content
   * @returns {Promise<Turn | undefined>}
   */
  edit = (turn, content) => this.#ask(() => this.conversation.edit(turn, content));

  /**
   * Stop the newest turn that has not ended; where there is none, nothing happens.
   * @returns {Promise<void>} once the server has answered
   */
  stop = () =>
    this.#attempt(async () => {
      // What was sent last is the newest, also before it has an id; if it is refused, that is told already.
      const sending = this.#sending.at(-1)?.then(({ id }) => id, () => undefined);
      const unfinished = [...this.conversation.getSnapshot().turns].reverse().find(({ state }) => state !== "done");
      const turn = sending ? await sending : unfinished?.turn;
      if (turn !== undefined) await this.conversation.cancel({ turn });
    });

  /**
   * Answer a call that waits for a decision.
   * @param {string} toolId
   * @param {"allow" | "deny"} decision
   * @param {{input?: Record<string, unknown>, reason?: string}} [more] as of `Conversation.decide`
   * @returns {Promise<void>} once the server has answered
   */
  decide = (toolId, decision, more) => this.#attempt(() => this.conversation.decide(toolId, decision, more));

  /**
   * Bring turns that stand before those of the snapshot, if it says `hasOlder`.
   * @param {number} [count] as of `Conversation.loadOlder`
   * @returns {Promise<void>} once they are in it, or it was refused
   */
  loadOlder = (count) => this.#attempt(() => this.conversation.loadOlder(count));

  /** @param {() => Promise<Turn>} send */
  #ask(send) {
    return this.#attempt(async () => {
      const sending = send();
      this.#sending = [...this.#sending, sending];
      const forget = () => {
        this.#sending = this.#sending.filter((other) => other !== sending);
        this.#observable.notify();
        this.#rest();
      };
      // The turn's message may come later than the ack of its send.
      sending.then((turn) => turn[Symbol.asyncIterator]().next()).then(forget, forget);
      return sending;
    });
  }

  /**
   * @template T
   * @param {() => Promise<T>} action
   * @returns {Promise<T | undefined>}
   */
  async #attempt(action) {
    this.#refuse(undefined);
    try {
      return await action();
    } catch (error) {
      if (!(error instanceof TurnwireError)) throw error;
      this.#refuse(error);
      return undefined;
    }
  }

  /** @param {TurnwireError | undefined} error */
  #refuse(error) {
    this.#refusal = error;
    this.#observable.notify();
  }

  /** Follow no longer, if nobody listens and nothing is on its way. */
  #rest() {
    if (this.#listeners === 0 && this.#sending.length === 0) this.conversation.unfollow();
  }
}

/**
 * @param {Readonly<ConversationSnapshot>} conversation
 * @param {Readonly<ConnectionSnapshot>} connection
 * @param {TurnwireError | undefined} refusal
 * @param {boolean} isSending
 * @returns {Readonly<DialogueSnapshot>}
 */
function snapshotOf({ id, turns, state, hasOlder, error: ending }, connection, refusal, isSending) {
  const error = refusal ?? ending ?? connection.error ?? turns.at(-1)?.error;
  const running = turns.filter((turn) => turn.state !== "done");
  const isStreaming = running.some(({ blocks }) => blocks.length > 0);
  const isSubmitted = isSending || running.length > 0;
  const isOver = ending !== undefined || connection.error !== undefined;
  const status = isOver ? "error" : isStreaming ? "streaming" : isSubmitted ? "submitted" : error ? "error" : "ready";
  return { id, turns, state, ...(hasOlder && { hasOlder }), status, error, connection };
}
