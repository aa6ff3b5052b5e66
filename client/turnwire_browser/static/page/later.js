/**
 * What comes later: `further.js`, asked for as soon as the page stands, and at hand from then on. The first scripts are on a
 * bad line the sooner there for it.
 */

import { remember } from "./storage.js";

/** @typedef {typeof import("./further.js")} Further */

/** @type {Further | undefined} */
let further;
let isLoading = false;
/** @type {Set<(further: Further) => void>} */
const waiting = new Set();

/** Ask for it, unless it is there or on its way. It may not come: the line is down. Ask again then. */
export async function load() {
  if (further || isLoading) return;
  isLoading = true;
  further = await import("./further.js").catch(() => undefined);
  isLoading = false;
  if (!further) return;
  // All of this page is of one version: outdated.js need not count any more how often it had it loaded.
  remember("outdated", "");
  for (const use of waiting) use(further);
  waiting.clear();
}

/**
 * Do something with it: now, if it is there.
 *
 * @param {(further: Further) => void} use
 */
export function later(use) {
  if (further) return use(further);
  waiting.add(use);
  void load();
}
