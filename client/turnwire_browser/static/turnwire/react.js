// Turnwire for React: a provider of one connection, and hooks over its conversations; the npm package's "turnwire/react".
"use client";

import { createContext, createElement, useContext, useEffect, useMemo, useState, useSyncExternalStore } from "react";

import { dialogueOf } from "./dialogue.js";
import { connect } from "./turnwire.js";

/** @import { ReactElement, ReactNode } from "react" */
/** @import { Token } from "./connection.js" */
/** @import { Conversation } from "./conversation.js" */
/** @import { Dialogue, DialogueSnapshot, Failure } from "./dialogue.js" */
/** @import { Wire } from "./turnwire.js" */

/** @typedef {Pick<Dialogue, "send" | "stop" | "regenerate" | "edit" | "decide" | "loadOlder">} DialogueActions */

/**
 * What `useTurnwire` gives. `conversation` is there for what has no function here, `toolOutput` above all.
 * @typedef {DialogueSnapshot & DialogueActions & {conversation: Conversation}} UseTurnwire
 */

/**
 * What `useClaudeStream` gives: the newest turn's text and thinking as they come. `isStreaming` from the send on.
 * @typedef {Pick<Dialogue, "send" | "stop"> & {
 *   text: string,
 *   thinking: string,
 *   isStreaming: boolean,
 *   error: Failure | undefined,
 * }} UseClaudeStream
 */

/** @type {import("react").Context<Wire | undefined>} */
const WireContext = createContext(/** @type {Wire | undefined} */ (undefined));

/**
 * Holds one connection for all below it. It is made when a hook below needs it, never while a server renders, and closed
 * when the provider goes; other props make another one, which goes on with the same conversations.
 * @param {object} props
 * @param {string | URL} props.url as of `connect`: of the service, or relative to the page
 * @param {Token} [props.token] for a service that wants one, or a function that fetches it, of which the first is kept
 * @param {number} [props.lastTurns] as of `connect`: how many turns a conversation opens with, of which the first is kept
 * @param {ReactNode} [props.children]
 * @returns {ReactElement}
 */
export function TurnwireProvider({ url, token, lastTurns, children }) {
  const address = String(url);
  const options = { ...(token !== undefined && { token }), ...(lastTurns !== undefined && { lastTurns }) };
  const make = () => ({ address, token, wire: connect(address, options) });
  const [held, hold] = useState(make);
  let current = held;
  // A function is mostly written in place, and another one at each rendering.
  const isSame = held.token === token || (typeof held.token === "function" && typeof token === "function");
  if (held.address !== address || !isSame) hold((current = make()));
  const { wire } = current;
  useEffect(() => {
    // React hides what it keeps (<Activity>) as if it had gone, and shows it again.
    if (isClosedByUs(wire)) hold(make());
    else return keepOpen(wire);
    return undefined;
    // `make` is of the same props as the wire.
  }, [wire]);
  return createElement(WireContext.Provider, { value: wire }, children);
}

/**
 * The connection of the provider above: for its tools, uploads and other conversations.
 * @returns {Wire}
 * @throws {Error} there is none
 */
export function useWire() {
  const wire = useContext(WireContext);
  if (wire === undefined) throw new Error("There is no <TurnwireProvider> above this component.");
  return wire;
}

/**
 * A conversation: its turns, what it is doing, and what can be done. Followed while a component uses it. The functions
 * stay the same while the conversation does, and do not reject with a TurnwireError: it is `error` then.
 * @param {string | null} [conversationId] absent: a new one, which gets its id by its first send, and may be given then
 * @returns {UseTurnwire}
 */
export function useTurnwire(conversationId) {
  const dialogue = useDialogue(conversationId ?? undefined);
  const snapshot = useSyncExternalStore(dialogue.subscribe, dialogue.getSnapshot, dialogue.getServerSnapshot);
  return useMemo(() => {
    const { conversation, send, stop, regenerate, edit, decide, loadOlder } = dialogue;
    return { ...snapshot, conversation, send, stop, regenerate, edit, decide, loadOlder };
  }, [dialogue, snapshot]);
}

/**
 * The newest answer of a conversation, for a page that shows one at a time.
 * @param {string | null} [conversationId] as of `useTurnwire`
 * @returns {UseClaudeStream}
 */
export function useClaudeStream(conversationId) {
  const { turns, status, error, send, stop } = useTurnwire(conversationId);
  // What was just asked has no answer yet, whatever stood there before.
  const blocks = status === "submitted" ? [] : (turns.at(-1)?.blocks ?? []);
  const textOf = (/** @type {"text" | "thinking"} */ type) =>
    blocks.map((block) => (block.type === type ? block.text : "")).join("");
  const isStreaming = status === "submitted" || status === "streaming";
  return { text: textOf("text"), thinking: textOf("thinking"), isStreaming, error, send, stop };
}

/** @param {string | undefined} id @returns {Dialogue} */
function useDialogue(id) {
  const wire = useWire();
  const [held, hold] = useState(() => ({ wire, id, conversation: wire.conversation(id) }));
  let current = held;
  if (held.wire !== wire || held.id !== id) {
    // On another wire, a new conversation goes on that has got its id meanwhile.
    const known = held.id === id ? held.conversation.id : id;
    hold((current = { wire, id, conversation: wire.conversation(known) }));
  }
  return dialogueOf(wire, current.conversation);
}

/** @param {Wire} wire */
function isClosedByUs(wire) {
  const { state, error } = wire.getSnapshot();
  return state === "closed" && error === undefined;
}

/** How often each wire is in use. @type {WeakMap<Wire, number>} */
const uses = new WeakMap();

/** @param {Wire} wire @returns {() => void} ends it; the last one's end closes the wire */
function keepOpen(wire) {
  const add = (/** @type {number} */ change) => void uses.set(wire, (uses.get(wire) ?? 0) + change);
  add(1);
  return () => {
    add(-1);
    // StrictMode runs an effect, its end, and the effect again in one task: that is no end.
    queueMicrotask(() => {
      if (uses.get(wire) === 0) wire.close();
    });
  };
}
