/** The consent that the user gives once for a tool: its calls in a conversation are decided without asking. */

import { TurnwireError } from "../turnwire/turnwire.js";
import { asks } from "./asking.js";
import { Permissions } from "./permissions.js";

/** @typedef {import("../turnwire/fold.js").FoldedTurn} FoldedTurn */
/** @typedef {import("../turnwire/fold.js").ToolBlock} ToolBlock */

export class Consent {
  #permissions;
  #runner;
  #decide;
  #changed;
  /** Calls that are decided without asking; whether that was refused, so that the user has to. @type {Map<string, boolean>} */
  #deciding = new Map();

  /**
   * @param {string | undefined} id the conversation's; none: a new one
   * @param {string} runner this tab's
   * @param {(toolId: string) => Promise<unknown>} decide allow a call
   * @param {() => void} changed the user has to be asked about a call after all
   */
  constructor(id, runner, decide, changed) {
    this.#permissions = new Permissions(id ?? "new");
    this.#runner = runner;
    this.#decide = decide;
    this.#changed = changed;
  }

  /** Whether a call is allowed without asking. @param {ToolBlock} block */
  isAllowed = ({ tool_id, tool_name }) => {
    return this.#permissions.has(tool_name) && this.#deciding.get(tool_id) !== true;
  };

  /**
   * @param {string} tool
   * @param {boolean} isAllowed whether its calls are not asked about any more, or again
   */
  allow(tool, isAllowed) {
    if (isAllowed) this.#permissions.add(tool);
    else this.#permissions.remove(tool);
  }

  /**
   * Decide the calls that the user does not want to be asked about.
   *
   * @param {FoldedTurn | undefined} turn
   */
  decideAllowed(turn) {
    if (turn?.state !== "running") return;
    for (const block of turn.blocks) {
      if (block.type !== "tool" || this.#deciding.has(block.tool_id)) continue;
      if (asks(block, this.#runner) !== "decision" || !this.isAllowed(block)) continue;
      this.#deciding.set(block.tool_id, false);
      this.#decide(block.tool_id).catch((error) => {
        if (!(error instanceof TurnwireError)) throw error;
        this.#deciding.set(block.tool_id, true);
        this.#changed();
      });
    }
  }

  /** @param {string} id the conversation has got its id */
  move(id) {
    this.#permissions.move(id);
  }
}
