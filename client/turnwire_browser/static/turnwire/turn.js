// A turn as its sender holds it: its events, its text, its end; knows no socket.

import { TurnwireError, errorOf } from "./errors.js";
import { foldTurn, queued } from "./fold.js";

/** @import { CancelOutcome, Event } from "./messages.js" */
/** @import { FoldedTurn } from "./fold.js" */
/** @import { TurnLog } from "./turnlog.js" */

/**
 * The answer: `text` is its text blocks joined, `turn` the whole turn in the fold's form.
 * @typedef {object} Reply
 * @property {string} text
 * @property {FoldedTurn["blocks"]} blocks
 * @property {FoldedTurn["usage"]} usage
 * @property {string} stopReason
 * @property {import("./messages.js").Refusal} [refusal] why the model refused, if it did and that is known
 * @property {unknown} [output] what it says as data, where the send had an `output_format` and it came to its end
 * @property {Readonly<FoldedTurn>} turn
 */

/**
 * Its reply is `await turn.done`. (The turn itself is no promise: awaiting a send would wait for the end of the answer.)
 * Iterate it for its events, from its first, as often as you like; what a slow reader has not taken yet merges.
 * Iteration goes on over reconnects, ends after `done`, and throws TurnwireError if the turn cannot be followed any more.
 */
export class Turn {
  #log;
  #cancel;
  /** @type {TurnwireError | undefined} */
  #error;
  /** @type {(reply: Reply) => void} */
  #resolve = () => {};
  /** @type {(error: TurnwireError) => void} */
  #reject = () => {};

  /**
   * @param {string} id
   * @param {string} conversation
   * @param {TurnLog} log
   * @param {() => Promise<CancelOutcome>} cancel
   */
  constructor(id, conversation, log, cancel) {
    this.id = id;
    this.conversation = conversation;
    this.#log = log;
    this.#cancel = cancel;
    /**
     * The answer, also of a turn that was cancelled or interrupted. Rejects with TurnwireError: the turn failed (the
     * code of its error), or it cannot be followed any more.
     * @type {Promise<Reply>}
     */
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // A caller that only iterates never handles `done`: that must not count as an unhandled rejection.
    this.done.catch(() => {});
  }

  /** Stop it. A late cancel says `already_done` and does nothing. @throws {TurnwireError} */
  cancel() {
    return this.#cancel();
  }

  /** @returns {AsyncGenerator<Event, void, void>} */
  async *[Symbol.asyncIterator]() {
    const position = { index: 0, offset: 0, span: 0 };
    for (;;) {
      const event = this.#log.next(position);
      if (event) {
        yield event;
        if (event.type === "done") return;
      } else if (this.#error) {
        throw this.#error;
      } else {
        await this.#log.nextChange();
      }
    }
  }

  /**
   * The answer's text as it comes. A `rewind` takes nothing back here: what follows is the new attempt's text. To see
   * a rewind, iterate the events or use the snapshot.
   * @returns {AsyncGenerator<string, void, void>}
   */
  get textStream() {
    return textOf(this);
  }

  /** For the conversation: the log has the turn's `done`. */
  settle() {
    const turn = this.#log.events.reduce(foldTurn, queued(this.id));
    if (turn.done?.stop_reason === "failed") {
      const error = turn.error ?? { code: "internal", message: "The turn failed.", retryable: true };
      this.#reject(errorOf(error));
      return;
    }
    this.#resolve({
      text: turn.blocks.map((block) => (block.type === "text" ? block.text : "")).join(""),
      blocks: turn.blocks,
      usage: turn.usage,
      stopReason: turn.done?.stop_reason ?? "",
      refusal: turn.done?.refusal,
      ...(turn.done?.output !== undefined && { output: turn.done.output }),
      turn,
    });
  }

  /** For the conversation: no more events will come. @param {TurnwireError} error */
  fail(error) {
    this.#error = error;
    this.#reject(error);
    this.#log.wake();
  }
}

/** @param {AsyncIterable<Event>} events */
async function* textOf(events) {
  for await (const event of events) if (event.type === "token") yield event.text;
}
