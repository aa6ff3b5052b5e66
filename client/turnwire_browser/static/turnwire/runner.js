// Runs this program's tools when the model calls them, each call once; knows no connection.

import { randomId } from "./random.js";

/** @import { TurnwireError } from "./errors.js" */
/** @import { FoldedTurn, ToolBlock } from "./fold.js" */
/** @import { ClientTool, Content, ContentBlock } from "./messages.js" */

/**
 * Which call it is that a tool runs for.
 * @typedef {object} ToolContext
 * @property {string} conversation
 * @property {string} turn
 * @property {string} tool_id
 * @property {AbortSignal} signal aborted when nobody waits for the result any more: the turn has ended, or the time is up
 * @property {(message: string, fraction?: number) => void} progress tell the readers how far it is; `fraction` from 0 to 1
 */

/**
 * A tool that runs here. `run` gives text, content blocks, or any JSON value, or a promise of these; what it throws is
 * an error result with its text. Without `run`, calls wait for somebody's `toolOutput`. `Input` is what `input_schema`
 * describes; the server has checked it.
 * @template [Input=Record<string, unknown>]
 * @typedef {ClientTool & {run?: (input: Input, context: ToolContext) => unknown}} Tool
 */

/**
 * A conversation, as its calls see it.
 * @typedef {object} Caller
 * @property {string | undefined} id
 * @property {(toolId: string, content: Content, options: {isError: boolean}) => Promise<void>} toolOutput
 * @property {(toolId: string, message: string, fraction?: number) => void} toolProgress
 */

const NAME = /^[a-zA-Z0-9_-]{1,128}$/;
const PROGRESS_MILLISECONDS = 100;
const BLOCK_TYPES = ["text", "image", "document"];

/** Nobody waits for the output: the call has a result, or its turn or this wire has ended. */
const OVER = ["already_decided", "unknown_tool_call", "unknown_conversation", "closed"];

/** The tools of one wire, and the calls of them that run. `id` names this program to the server. */
export class Runner {
  #now;
  /** @type {Map<string, Tool<any>>} */
  #tools = new Map();
  /** Ids of the calls that were ever begun: a reset shows them again. @type {Set<string>} */
  #begun = new Set();
  /** @type {Map<string, {turn: string, stop: AbortController}>} */
  #running = new Map();
  /** When each call last reported. @type {Map<string, number>} */
  #reported = new Map();

  /**
   * @param {string | undefined} id
   * @param {() => number} now in milliseconds
   */
  constructor(id, now) {
    this.id = id ?? randomId();
    this.#now = now;
  }

  /** @param {Tool<any>} tool @throws {TypeError} it cannot be one, or there is one of this name */
  add({ name, description, input_schema, run }) {
    if (typeof name !== "string" || !NAME.test(name)) {
      throw new TypeError("A tool's name is 1 to 128 letters, digits, _ or -.");
    }
    if (this.#tools.has(name)) throw new TypeError(`There is a tool of the name ${name} already.`);
    if (typeof description !== "string") throw new TypeError(`Tool ${name}: a description is required.`);
    if (typeof input_schema !== "object" || input_schema === null) {
      throw new TypeError(`Tool ${name}: an input_schema is required.`);
    }
    if (run !== undefined && typeof run !== "function") {
      throw new TypeError(`Tool ${name}: run is no function.`);
    }
    this.#tools.set(name, { name, description, input_schema, ...(run && { run }) });
  }

  /**
   * What a send says of who sends it, and of the tools, if there are any; its own `client_tools` are among them.
   * @param {ReadonlyArray<ClientTool>} [more]
   * @returns {{runner: string, client_tools?: ClientTool[]}}
   */
  offer(more = []) {
    const own = [...this.#tools.values()].map(({ run: _, ...tool }) => tool);
    const tools = [...own, ...more];
    return { runner: this.id, ...(tools.length > 0 && { client_tools: tools }) };
  }

  /**
   * Run the calls that wait for this wire. Call it only when everything the server has of the conversation was applied:
   * otherwise the result of a call may still be coming.
   * @param {Caller} chat
   * @param {ReadonlyArray<Readonly<FoldedTurn>>} turns
   * @param {(turn: Readonly<FoldedTurn>) => boolean} isLost whether an earlier program with our id, which has ended, may have begun its calls
   */
  runWaiting(chat, turns, isLost) {
    for (const turn of turns) {
      if (turn.state !== "running") continue;
      for (const call of turn.blocks) {
        if (call.type !== "tool") continue;
        const { state, runner, tool_id, tool_name } = call;
        const tool = this.#tools.get(tool_name);
        if (state !== "executing" || runner !== this.id || !tool?.run || this.#begun.has(tool_id)) continue;
        this.#begun.add(tool_id);
        if (isLost(turn)) this.#answer(chat, tool_id, "The page was reloaded while the tool ran.", true);
        else this.#run(chat, turn.turn, call, tool);
      }
    }
  }

  /** Whether a call is to run here, or runs. @param {ReadonlyArray<Readonly<FoldedTurn>>} turns */
  hasCalls(turns) {
    return turns.some(({ state, blocks }) => {
      if (state !== "running") return false;
      return blocks.some((block) => block.type === "tool" && block.state === "executing" && block.runner === this.id);
    });
  }

  /** The call has its result. @param {string} toolId */
  settle(toolId) {
    this.#running.get(toolId)?.stop.abort();
    this.#running.delete(toolId);
    this.#reported.delete(toolId);
  }

  /** Nothing of the turn follows. @param {string} turn */
  endTurn(turn) {
    for (const [id, running] of [...this.#running]) if (running.turn === turn) this.settle(id);
  }

  /** There will be no further connection. */
  close() {
    for (const id of [...this.#running.keys()]) this.settle(id);
  }

  /**
   * The fields of a `progress` command, or undefined if the call reported just before: servers bound the rate of commands.
   * @param {string} toolId
   * @param {string} message
   * @param {number} [fraction]
   */
  report(toolId, message, fraction) {
    const since = this.#now() - (this.#reported.get(toolId) ?? -Infinity);
    // Below 0: the clock was set back.
    if (since >= 0 && since < PROGRESS_MILLISECONDS) return undefined;
    this.#reported.set(toolId, this.#now());
    // Tools are foreign code: `fraction` may be out of range, or not a number.
    const bounded = Number.isFinite(fraction) && { fraction: Math.min(Math.max(Number(fraction), 0), 1) };
    return { tool_id: toolId, runner: this.id, message: String(message).slice(0, 1000), ...bounded };
  }

  /**
   * @param {Caller} chat
   * @param {string} turn
   * @param {Readonly<ToolBlock>} call
   * @param {Tool<any>} tool
   */
  async #run(chat, turn, { tool_id, input = {} }, { name, run }) {
    const stop = new AbortController();
    this.#running.set(tool_id, { turn, stop });
    /** @type {ToolContext} */
    const context = {
      conversation: chat.id ?? "",
      turn,
      tool_id,
      signal: stop.signal,
      progress: (message, fraction) => {
        if (this.#running.has(tool_id)) chat.toolProgress(tool_id, message, fraction);
      },
    };
    let content;
    let isError = false;
    try {
      content = contentOf(await run?.(input, context));
    } catch (error) {
      // A tool is foreign code. Its text is for the model, its stack for us.
      if (!stop.signal.aborted) console.warn(`The tool ${name} failed.`, error);
      content = String(error);
      isError = true;
    }
    if (!stop.signal.aborted) await this.#answer(chat, tool_id, content, isError);
  }

  /** @param {Caller} chat @param {string} toolId @param {Content} content @param {boolean} isError */
  async #answer(chat, toolId, content, isError) {
    try {
      await chat.toolOutput(toolId, content, { isError });
    } catch (thrown) {
      const error = /** @type {TurnwireError} */ (thrown);
      if (OVER.includes(error.code)) return;
      // An error result is better than letting the model wait for a result that cannot come.
      const said = `The result could not be sent: ${error.message}`;
      await chat.toolOutput(toolId, said, { isError: true }).catch(() => {});
    }
  }
}

/** @param {unknown} value of a tool @returns {Content} @throws {TypeError} it is no JSON value */
function contentOf(value) {
  if (typeof value === "string") return value;
  if (Array.isArray(value) && value.length > 0 && value.every(isBlock)) return value;
  return value === undefined || value === null ? "" : (JSON.stringify(value) ?? "");
}

/** @param {any} value @returns {value is ContentBlock} */
function isBlock(value) {
  if (!BLOCK_TYPES.includes(value?.type)) return false;
  return typeof (value.type === "text" ? value.text : value.blob) === "string";
}
