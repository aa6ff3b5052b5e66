// The fold: a conversation as its readers see it, from its events; pure, with structural sharing.
//
// The forms are those of PROTOCOL.md "The fold", which the conformance vectors compare. Nothing that was
// handed out ever changes: an event makes a new turn and new blocks only where it changes them.

/** @import { Citation, Content, Event, Refusal, RunsOn, ToolApprovalEvent, ToolDecisionEvent, ToolExecutingEvent } from "./messages.js" */
/** @import { ToolProgressEvent, ToolResultEvent, ToolStartEvent, TotalUsage, UsageEvent } from "./messages.js" */

/** @typedef {"input_tokens" | "output_tokens" | "cache_read_input_tokens" | "cache_creation_input_tokens"} Count */
/** @typedef {Required<Pick<TotalUsage, Count>> & Omit<TotalUsage, Count | "estimated">} Counts of tokens; what more is counted, where it is more than nothing */
/** @typedef {ToolApprovalEvent | ToolDecisionEvent | ToolExecutingEvent | ToolProgressEvent | ToolResultEvent} ToolCallEvent */

/** @typedef {WordsBlock<"text">} TextBlock */
/** @typedef {WordsBlock<"thinking">} ThinkingBlock */
/** Where older messages were summarised: the text is the summary, complete. @typedef {WordsBlock<"compaction">} CompactionBlock */

/**
 * Text, thinking, or a summary.
 * @template {"text" | "thinking" | "compaction"} Type
 * @typedef {object} WordsBlock
 * @property {number} block
 * @property {Type} type
 * @property {boolean} complete
 * @property {string} text as far as it has come
 * @property {ReadonlyArray<Citation>} [citations] of a text: where it was read
 */

/**
 * A tool call: `partial_json` is its input, as far as it has come, `input` what it runs with.
 * @typedef {object} ToolBlock
 * @property {number} block
 * @property {"tool"} type
 * @property {boolean} complete
 * @property {string} partial_json
 * @property {string} tool_id
 * @property {string} tool_name
 * @property {RunsOn} runs_on
 * @property {"announced" | "waiting" | "executing" | "done"} state
 * @property {Record<string, unknown>} [input]
 * @property {string} [runner]
 * @property {string} [expires_at]
 * @property {"allow" | "deny"} [decision]
 * @property {string} [reason]
 * @property {{message: string, fraction?: number}} [progress]
 * @property {{content: Content, is_error: boolean, duration_ms: number, files?: ReadonlyArray<string>}} [result]
 */

/** A content block of the answer: its `type` tells which. @typedef {TextBlock | ThinkingBlock | CompactionBlock | ToolBlock} Block */

/**
 * One user message and everything done to answer it; `usage` is the total once done, until then the attempt's.
 * @typedef {object} FoldedTurn
 * @property {string} turn
 * @property {"queued" | "running" | "done"} state
 * @property {ReadonlyArray<Readonly<Block>>} blocks
 * @property {Content} [content]
 * @property {string} [key]
 * @property {string} [at]
 * @property {string} [model]
 * @property {number} [step]
 * @property {number} [attempt]
 * @property {true} [compacting] older messages are being summarised
 * @property {Counts & {estimated?: true}} [usage]
 * @property {{tokens: number, window?: number}} [context] how much of the model's window is taken
 * @property {{attempt: number, delay_seconds: number, code: string, message: string, request_id?: string}} [retry]
 * @property {{code: string, message: string, retryable: boolean, retry_after_seconds?: number, request_id?: string}} [error]
 * @property {Ending} [done]
 */

/**
 * How a turn ended; `output` is what its answer says as data, where its send had an `output_format` and it came to its end.
 * @typedef {{stop_reason: string, steps: number, duration_ms: number, cost_usd?: number, refusal?: Refusal, stop_sequence?: string, output?: unknown}} Ending
 */

/** All turns that are not void, in the order of their messages, up to `seq`. */
export class FoldedConversation {
  seq = 0;
  /** Whether turns may be missing before these; see PROTOCOL.md "The end of a conversation". */
  isEnd = false;
  /** @type {Map<string, Readonly<FoldedTurn>>} */
  #turns = new Map();
  /** @type {ReadonlyArray<Readonly<FoldedTurn>> | undefined} made when asked for: a long history copies no array per event */
  #array;

  /** The turns; the same array until one of them changes. */
  get turns() {
    return (this.#array ??= [...this.#turns.values()]);
  }

  /** @param {string} turn @returns whether it is there and not void */
  has(turn) {
    return this.#turns.has(turn);
  }

  /**
   * The block of a call, if there is one; the last turn's first, as ids are unique within a turn only.
   * @param {string} toolId
   */
  call(toolId) {
    for (const turn of [...this.turns].reverse()) {
      for (const block of turn.blocks) if (block.type === "tool" && block.tool_id === toolId) return block;
    }
    return undefined;
  }

  /**
   * Change by the next event, which the caller has judged with its cursor.
   * A turn whose message was never seen (only the end of the log is known) is made by its first event.
   * @param {Event} event
   */
  apply(event) {
    this.seq = event.seq;
    if (event.type === "retract") {
      this.#retract(event.from_turn);
      return;
    }
    const before = this.#turns.get(event.turn);
    const after = next(before ?? queued(event.turn), event);
    // Of an unknown type: it moves the cursor and makes no turn.
    if (after === undefined || after === before) return;
    this.#turns.set(event.turn, after);
    this.#array = undefined;
  }

  /**
   * Put older turns before these, as they were at `seq`.
   * @param {ReadonlyArray<Readonly<FoldedTurn>>} turns
   */
  prepend(turns) {
    const older = turns.filter(({ turn }) => !this.#turns.has(turn)).map((turn) => /** @type {const} */ ([turn.turn, turn]));
    this.#turns = new Map([...older, ...this.#turns]);
    this.#array = undefined;
  }

  /** @param {string} fromTurn */
  #retract(fromTurn) {
    const names = [...this.#turns.keys()];
    const from = names.indexOf(fromTurn);
    if (from < 0 && !this.isEnd) return;
    // One that is not here is older than all that are.
    for (const name of names.slice(Math.max(0, from))) this.#turns.delete(name);
    this.#array = undefined;
  }
}

/** @param {string} turn @returns {FoldedTurn} a turn of which nothing is known yet */
export function queued(turn) {
  return { turn, state: "queued", blocks: [] };
}

/**
 * The turn after its next event; the same object if that changes nothing.
 * @param {Readonly<FoldedTurn>} turn
 * @param {Event} event of this turn; `retract` and unknown types change nothing
 * @returns {Readonly<FoldedTurn>}
 */
export function foldTurn(turn, event) {
  return next(turn, event) ?? turn;
}

/** @param {Readonly<FoldedTurn>} turn @param {Event} event @returns {Readonly<FoldedTurn> | undefined} undefined: no event of a turn */
function next(turn, event) {
  switch (event.type) {
    case "token":
      return append(turn, event.block, "text", event.text);
    case "thinking":
      return append(turn, event.block, "thinking", event.text);
    case "tool_input":
      return append(turn, event.block, "tool", event.partial_json);
    case "message":
      return present({ ...turn, content: event.content, key: event.key, at: event.at });
    case "start":
      return { ...turn, state: "running", model: event.model };
    case "step":
      return present({
        ...turn,
        step: event.step,
        attempt: event.attempt,
        model: event.model,
        compacting: event.compacts,
        retry: undefined,
      });
    case "tool_start":
      return announce(turn, event);
    case "block_stop":
      return change(turn, (block) => block.block === event.block, () => ({ complete: true, citations: event.citations }));
    case "compaction": {
      const summarised = append(turn, event.block, "compaction", event.summary);
      const whole = change(summarised, (block) => block.block === event.block, () => ({ complete: true }));
      return present({ ...whole, compacting: undefined });
    }
    case "tool_approval":
    case "tool_decision":
    case "tool_executing":
    case "tool_progress":
    case "tool_result":
      return change(
        turn,
        (block) => "tool_id" in block && block.tool_id === event.tool_id,
        (block) => call(/** @type {ToolBlock} */ (block), event),
      );
    case "usage":
      return turn.done
        ? turn
        : {
            ...turn,
            usage: counts(event),
            ...(event.model && { model: event.model }),
            ...(event.context_tokens !== undefined && { context: context(event) }),
          };
    case "retry": {
      const { attempt, delay_seconds, code, message, request_id } = event;
      return { ...turn, retry: present({ attempt, delay_seconds, code, message, request_id }) };
    }
    case "rewind":
      return { ...turn, blocks: turn.blocks.filter((block) => block.block < event.block) };
    case "error": {
      const { code, message, retryable, retry_after_seconds, request_id } = event;
      return { ...turn, error: present({ code, message, retryable, retry_after_seconds, request_id }) };
    }
    case "done": {
      const { stop_reason, steps, duration_ms, cost_usd, stop_sequence, output, usage } = event;
      const refusal = event.refusal && present({ category: event.refusal.category, explanation: event.refusal.explanation });
      const done = present({ stop_reason, steps, duration_ms, cost_usd, refusal, stop_sequence, output });
      const total = present({ ...counts(usage), estimated: usage.estimated });
      return present({ ...turn, state: /** @type {const} */ ("done"), usage: total, retry: undefined, compacting: undefined, done });
    }
    default:
      return undefined;
  }
}

/**
 * @param {Readonly<FoldedTurn>} turn
 * @param {number} number
 * @param {Block["type"]} type of the block, should this be its first piece
 * @param {string} piece
 * @returns {FoldedTurn}
 */
function append(turn, number, type, piece) {
  const blocks = [...turn.blocks];
  const index = position(blocks, number);
  const block = blocks[index];
  if (block === undefined) {
    const field = type === "tool" ? "partial_json" : "text";
    // Of a call, its `tool_start` comes first: this has its name.
    blocks.push(/** @type {Block} */ (/** @type {unknown} */ ({ block: number, type, complete: false, [field]: piece })));
  } else if ("partial_json" in block) {
    blocks[index] = { ...block, partial_json: block.partial_json + piece };
  } else {
    blocks[index] = { ...block, text: block.text + piece };
  }
  return { ...turn, blocks };
}

/**
 * @param {Readonly<FoldedTurn>} turn
 * @param {ToolStartEvent} event
 * @returns {FoldedTurn}
 */
function announce(turn, { block: number, tool_id, tool_name, runs_on }) {
  const blocks = [...turn.blocks];
  const index = position(blocks, number);
  const begun = blocks[index] ?? { type: "tool", complete: false, partial_json: "" };
  const { type, complete } = begun;
  const said = "partial_json" in begun ? { partial_json: begun.partial_json } : { text: begun.text };
  const block = { block: number, type, complete, ...said, tool_id, tool_name, runs_on, state: "announced" };
  blocks[index < 0 ? blocks.length : index] = /** @type {ToolBlock} */ (block);
  return { ...turn, blocks };
}

/** @param {ReadonlyArray<Block>} blocks @param {number} number @returns {number} -1: there is none; mostly it is the last */
function position(blocks, number) {
  let index = blocks.length - 1;
  while (index >= 0 && blocks[index]?.block !== number) index -= 1;
  return index;
}

/**
 * What an event changes of the block of its tool call.
 * @param {Readonly<ToolBlock>} block
 * @param {ToolCallEvent} event
 * @returns {Partial<ToolBlock>}
 */
function call(block, event) {
  switch (event.type) {
    case "tool_approval":
      return { state: "waiting", input: event.input, expires_at: event.expires_at };
    case "tool_decision":
      return { decision: event.decision, reason: event.reason, input: event.input ?? block.input };
    case "tool_executing":
      return { state: "executing", input: event.input, runner: event.runner };
    case "tool_progress":
      return { progress: present({ message: event.message, fraction: event.fraction }) };
    case "tool_result": {
      const { content, is_error, duration_ms, files } = event;
      return { state: "done", result: present({ content, is_error, duration_ms, files }) };
    }
  }
}

/**
 * @param {Readonly<FoldedTurn>} turn
 * @param {(block: Readonly<Block>) => boolean} matches
 * @param {(block: Readonly<Block>) => Partial<Block>} by
 * @returns {Readonly<FoldedTurn>} the same turn, if no block matches
 */
function change(turn, matches, by) {
  if (!turn.blocks.some(matches)) return turn;
  const changed = (/** @type {Block} */ block) => /** @type {Block} */ (present({ ...block, ...by(block) }));
  return { ...turn, blocks: turn.blocks.map((block) => (matches(block) ? changed(block) : block)) };
}

/** @param {UsageEvent} event one that tells `context_tokens` */
function context({ context_tokens, context_window }) {
  return present({ tokens: context_tokens ?? 0, window: context_window });
}

/** @param {Partial<Counts>} from @returns {Counts} */
function counts(from) {
  return present({
    input_tokens: from.input_tokens ?? 0,
    output_tokens: from.output_tokens ?? 0,
    cache_read_input_tokens: from.cache_read_input_tokens ?? 0,
    cache_creation_input_tokens: from.cache_creation_input_tokens ?? 0,
    cache_creation_1h_input_tokens: from.cache_creation_1h_input_tokens,
    thinking_tokens: from.thinking_tokens,
    web_fetch_requests: from.web_fetch_requests,
    web_search_requests: from.web_search_requests,
  });
}

/**
 * The same fields without those that are absent: absent means absent, in the normative form too.
 * @template {object} T
 * @param {T} fields freshly made by the caller; changed in place
 * @returns {T}
 */
function present(fields) {
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined || value === null) delete fields[/** @type {keyof T} */ (name)];
  }
  return fields;
}
