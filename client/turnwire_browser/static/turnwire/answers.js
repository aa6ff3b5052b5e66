// What this program answers to the tool calls of a conversation; knows no connection.

import { nothingSent } from "./errors.js";

/** @import { TurnwireError } from "./errors.js" */
/** @import { ToolBlock } from "./fold.js" */
/** @import { Port } from "./turnwire.js" */

/** @typedef {(call: Readonly<ToolBlock>) => boolean | undefined} Verdict undefined: it has not been answered yet */

export class Answers {
  #port;
  #id;
  #told;

  /**
   * @param {Port} port
   * @param {() => string | undefined} id of the conversation
   * @param {(toolId: string, verdict: Verdict) => Promise<boolean>} told what the log says, once it does; false: it will not
   */
  constructor(port, id, told) {
    this.#port = port;
    this.#id = id;
    this.#told = told;
  }

  /** @param {string} toolId @param {"allow" | "deny"} decision @param {object} more */
  decide(toolId, decision, more) {
    const command = { ...more, type: "decide", tool_id: toolId, decision };
    return this.#give(command, (call) => call.decision && call.decision === decision);
  }

  /** @param {string} toolId @param {unknown} content @param {boolean} isError */
  output(toolId, content, isError) {
    const { id: runner } = this.#port.runner;
    const command = { type: "tool_output", tool_id: toolId, runner, content, is_error: isError };
    return this.#give(command, (call) => call.result && call.result.is_error === isError);
  }

  /**
   * @param {{type: string, tool_id: string}} command
   * @param {Verdict} isOurs
   * @returns {Promise<void>}
   */
  async #give(command, isOurs) {
    const conversation = this.#id();
    if (conversation === undefined) throw nothingSent();
    try {
      await this.#port.ask({ ...command, conversation }, () => {});
    } catch (thrown) {
      const { code, isRepeated } = /** @type {TurnwireError} */ (thrown);
      // Perhaps by this very answer, when it was sent first and its ack was lost: the log tells.
      const mayBeOurs = code === "already_decided" && isRepeated;
      if (!mayBeOurs || !(await this.#told(command.tool_id, isOurs))) throw thrown;
    }
  }
}
