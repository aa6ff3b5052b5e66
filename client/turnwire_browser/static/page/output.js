/** Structured output on the page: what an answer says as data is shown as code; pure. */

import { fenced } from "./textfile.js";

/** @typedef {import("../turnwire/fold.js").FoldedTurn} FoldedTurn */
/** @typedef {import("../turnwire/fold.js").Block} Block */

/**
 * The blocks of a turn as they are to be shown. Its data is its last text; while that comes, nobody who did not send the
 * turn knows that it will be data.
 *
 * @param {Readonly<FoldedTurn>} turn
 * @returns {ReadonlyArray<Readonly<Block>>}
 */
export function shownBlocks({ blocks, done }) {
  if (done?.output === undefined) return blocks;
  const last = blocks.map(({ type }) => type).lastIndexOf("text");
  const code = fenced(JSON.stringify(done.output, undefined, 2), "json");
  return blocks.map((block, index) => (index === last && block.type === "text" ? { ...block, text: code } : block));
}
