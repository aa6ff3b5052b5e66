// The events of one turn, merged, and cursors over them; knows neither connection nor fold.

/** @import { Event, ThinkingEvent, TokenEvent, ToolInputEvent } from "./messages.js" */

/** @typedef {ThinkingEvent | TokenEvent | ToolInputEvent} DeltaEvent neighbours of one block merge */

/** @typedef {{index: number, offset: number, span: number}} Position of one reader: entry, and how much of its text and span it has had */

const CHUNK_CHARACTERS = 4096;

/**
 * Neighbouring deltas of a block are one growing entry, so that what no reader has taken yet needs
 * no more memory than its text. A position stays right when a replay from 0 makes the same log again after
 * `clear`, however the server cuts it: entries are merged to the full on each side.
 */
export class TurnLog {
  /** @type {Entry[]} */
  #entries = [];
  /** @type {Set<() => void>} */
  #waiting = new Set();
  /** Whether the turn's one terminal event is here. */
  isDone = false;

  /** @param {Event} event the next one of this turn */
  append(event) {
    const last = this.#entries.at(-1);
    if (last && last.mergesWith(event)) last.grow(/** @type {DeltaEvent} */ (event));
    else this.#entries.push(new Entry(event));
    this.isDone ||= event.type === "done";
    this.wake();
  }

  /** The log is replayed from its start. Readers wait until it has passed where they were. */
  clear() {
    this.#entries = [];
    this.isDone = false;
  }

  /** All of it, merged. @returns {Event[]} */
  get events() {
    return this.#entries.map((entry) => entry.rest({ index: 0, offset: 0, span: 0 }));
  }

  /**
   * The next event for the reader at `position`, which moves on.
   * @param {Position} position
   * @returns {Event | undefined} undefined: there is nothing more yet
   */
  next(position) {
    let entry = this.#entries[position.index];
    if (entry && position.span >= entry.span && position.index + 1 < this.#entries.length) {
      position.index += 1;
      position.offset = position.span = 0;
      entry = this.#entries[position.index];
    }
    if (!entry || position.span >= entry.span) return undefined;
    const event = entry.rest(position);
    position.offset = entry.length;
    position.span = entry.span;
    return event;
  }

  /** Resolves after the next `append` or `wake`. @returns {Promise<void>} */
  nextChange() {
    return new Promise((resolve) => void this.#waiting.add(resolve));
  }

  /** Let the readers look again. */
  wake() {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}

/** An event; or a run of deltas of one block, its text in chunks, so that reading its end does not copy its start. */
class Entry {
  /** @type {{start: number, text: string}[]} */
  #chunks = [];

  /** @param {Event} event */
  constructor(event) {
    this.event = event;
    this.length = 0;
    this.span = 0;
    if (isDelta(event)) this.grow(event);
    else this.span = 1;
  }

  /** Whether the event merges with this (PROTOCOL.md "Merging", but for the bound, which is of frames). @param {Event} event */
  mergesWith(event) {
    const last = this.event;
    if (!isDelta(last) || !isDelta(event) || last.type !== event.type || last.block !== event.block) return false;
    // Events of other turns may stand between: then the two are no neighbours in the conversation's log.
    return event.seq - (event.span ?? 1) === last.seq;
  }

  /** @param {DeltaEvent} event */
  grow(event) {
    const text = event.type === "tool_input" ? event.partial_json : event.text;
    const last = this.#chunks.at(-1);
    if (last && last.text.length < CHUNK_CHARACTERS) last.text += text;
    else this.#chunks.push({ start: this.length, text });
    this.event = event;
    this.length += text.length;
    this.span += event.span ?? 1;
  }

  /** @param {Position} position @returns {Event} what a reader there has not had of it */
  rest({ offset, span }) {
    const event = this.event;
    if (!isDelta(event)) return event;
    const parts = [];
    for (let index = this.#chunks.length - 1; index >= 0; index -= 1) {
      const { start, text } = /** @type {{start: number, text: string}} */ (this.#chunks[index]);
      parts.unshift(text.slice(Math.max(0, offset - start)));
      if (start <= offset) break;
    }
    const { span: _, ...plain } = event;
    const missed = this.span - span;
    const merged = missed === 1 ? plain : { ...plain, span: missed };
    const field = event.type === "tool_input" ? "partial_json" : "text";
    return /** @type {Event} */ ({ ...merged, [field]: parts.join("") });
  }
}

/** @param {Event} event @returns {event is DeltaEvent} */
function isDelta(event) {
  return event.type === "token" || event.type === "thinking" || event.type === "tool_input";
}
