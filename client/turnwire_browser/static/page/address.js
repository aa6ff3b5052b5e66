/** The page's address: which conversation it names, and the token it may bring once. */

import { recall, remember } from "./storage.js";

/**
 * The token of `#/token=…` or `#token=…`, moved from the address to the tab's memory; else the
 * one remembered there.
 *
 * @returns {string | undefined}
 */
export function takeToken() {
  const match = /^#\/?token=(.+)$/.exec(location.hash);
  if (match) {
    remember("token", decode(match[1]));
    history.replaceState(null, "", location.pathname + location.search);
  }
  return recall("token");
}

/** @returns {string | undefined} The id of the conversation in the address; none: a new chat. */
export function conversationInAddress() {
  const id = decode(location.hash.slice(1));
  return /^c_[\w.~-]+$/.test(id) ? id : undefined;
}

/**
 * Make the address name a conversation.
 *
 * @param {string | undefined} id
 * @param {"push" | "replace"} how a step in the tab's history, or the present one renamed
 */
export function setAddress(id, how) {
  const url = location.pathname + location.search + (id ? `#${encodeURIComponent(id)}` : "");
  if (how === "push") history.pushState(null, "", url);
  else history.replaceState(null, "", url);
}

/** @param {string} text */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
