// What our Markdown shows, as HTML, of a text at once or in pieces.

import { element } from "../dom.mjs";

const { createStream, render } = await import("../../../client/turnwire_browser/static/markdown/markdown.js");

/** @param {string} html @returns {string} without what differs between two texts on one page */
const withoutIds = (html) => html.replace(/note-\d+-/g, "note-");

/** @param {string} text @returns {any} an element of dom.mjs */
export function shownAs(text) {
  const container = element();
  render(text, container);
  return container;
}

/** @param {string} text @returns {string} */
export const html = (text) => withoutIds(shownAs(text).inner());

/** @param {Iterable<string>} pieces @returns {string} what is shown at the end */
export function streamed(pieces) {
  const container = element();
  const stream = createStream(container);
  for (const piece of pieces) stream.append(piece);
  stream.end();
  return withoutIds(container.inner());
}

/** @param {string} text @param {() => number} next @param {number} largest @returns {string[]} */
export function cut(text, next, largest) {
  const pieces = [];
  for (let at = 0; at < text.length; at += pieces[pieces.length - 1].length) {
    pieces.push(text.slice(at, at + 1 + Math.floor(next() * next() * largest)));
  }
  return pieces;
}

/** @param {number} seed @returns {() => number} in [0, 1), the same sequence every run (mulberry32) */
export const random = (seed) => () => {
  seed = (seed + 0x6d2b79f5) | 0;
  let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
};
