// A client written from protocol/PROTOCOL.md alone: nothing of this repository is imported. `foreign.mjs vectors FOLDER`
// passes the vectors for clients; `foreign.mjs chat SOCKET TOKEN` sends each line it reads, loses its connection in the
// middle of each answer, resumes, and prints the folded conversation.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { createInterface } from "node:readline";

const pick = (from, ...names) => Object.fromEntries(names.filter((name) => from[name] !== undefined).map((name) => [name, from[name]]));
const COUNTS = ["input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"];
const MORE = ["cache_creation_1h_input_tokens", "thinking_tokens", "web_fetch_requests", "web_search_requests", "estimated"];
const usageOf = (from) => pick(from, ...COUNTS, ...MORE);

function set(target, values, ...names) { // What is not given is removed.
  for (const name of names) if (values[name] === undefined) delete target[name]; else target[name] = values[name];
}
function blockOf(turn, number, type) {
  let block = turn.blocks.find((each) => each.block === number);
  if (!block) turn.blocks.push((block = { block: number, type, complete: false, [type === "tool" ? "partial_json" : "text"]: "" }));
  return block;
}
const EFFECTS = {
  message: (turn, event) => set(turn, event, "content", "key", "at"),
  start: (turn, event) => Object.assign(turn, { state: "running", model: event.model }),
  step: (turn, event) => set(turn, { ...event, compacting: event.compacts }, "step", "attempt", "model", "compacting", "retry"),
  token: (turn, event) => { blockOf(turn, event.block, "text").text += event.text; },
  thinking: (turn, event) => { blockOf(turn, event.block, "thinking").text += event.text; },
  tool_input: (turn, event) => { blockOf(turn, event.block, "tool").partial_json += event.partial_json; },
  tool_start: (turn, event) => Object.assign(blockOf(turn, event.block, "tool"), pick(event, "tool_id", "tool_name", "runs_on"), { state: "announced" }),
  block_stop(turn, event) {
    const block = turn.blocks.find((each) => each.block === event.block);
    if (block) set(block, { ...event, complete: true }, "complete", "citations");
  },
  compaction(turn, event) {
    turn.blocks.push({ block: event.block, type: "compaction", complete: true, text: event.summary });
    delete turn.compacting;
  },
  usage(turn, event) {
    Object.assign(turn, { usage: usageOf(event) }, pick(event, "model"));
    if (event.context_tokens !== undefined) turn.context = pick({ tokens: event.context_tokens, window: event.context_window }, "tokens", "window");
  },
  retry: (turn, event) => { turn.retry = pick(event, "attempt", "delay_seconds", "code", "message", "request_id"); },
  rewind: (turn, event) => { turn.blocks = turn.blocks.filter((block) => block.block < event.block); },
  error: (turn, event) => { turn.error = pick(event, "code", "message", "retryable", "retry_after_seconds", "request_id"); },
  done(turn, event) {
    const refusal = event.refusal && pick(event.refusal, "category", "explanation");
    const done = pick({ ...event, refusal }, "stop_reason", "steps", "duration_ms", "cost_usd", "refusal", "stop_sequence", "output");
    set(turn, { state: "done", done, usage: usageOf(event.usage) }, "state", "done", "usage", "retry", "compacting");
  },
};
const TOOL_EFFECTS = {
  tool_approval: (tool, event) => Object.assign(tool, { state: "waiting" }, pick(event, "input", "expires_at")),
  tool_decision: (tool, event) => { set(tool, event, "decision", "reason"); Object.assign(tool, pick(event, "input")); },
  tool_executing: (tool, event) => set(tool, { ...event, state: "executing" }, "state", "input", "runner"),
  tool_progress: (tool, event) => { tool.progress = pick(event, "message", "fraction"); },
  tool_result: (tool, event) => Object.assign(tool, { state: "done", result: pick(event, "content", "is_error", "duration_ms", "files") }),
};
function apply(fold, event) {
  fold.seq = event.seq;
  const at = (id) => fold.turns.findIndex((turn) => turn.turn === id);
  if (event.type === "retract") return void (at(event.from_turn) >= 0 && fold.turns.splice(at(event.from_turn)));
  const effect = Object.hasOwn(EFFECTS, event.type) && EFFECTS[event.type];
  const onTool = Object.hasOwn(TOOL_EFFECTS, event.type) && TOOL_EFFECTS[event.type];
  if (!effect && !onTool) return undefined;
  if (at(event.turn) < 0) fold.turns.push({ turn: event.turn, state: "queued", blocks: [] });
  const turn = fold.turns[at(event.turn)];
  if (effect) return effect(turn, event);
  const tool = turn.blocks.find((block) => block.tool_id === event.tool_id);
  return tool && onTool(tool, event);
}
const folded = (events) => events.reduce((fold, event) => (apply(fold, event), fold), { seq: 0, turns: [] });
const judge = (seq, event) => (event.seq <= seq ? "ignore" : event.seq - (event.span ?? 1) === seq ? "apply" : "resubscribe");
const reconnects = (code) => code !== 1000 && (code < 4500 || code > 4999);

const VECTORS = {
  fold: ({ events, expected }) => assert.deepEqual(folded(events), expected),
  cursor({ start, events, verdicts, end, expected }) {
    let seq = start.seq;
    const judged = events.map((event) => [judge(seq, event), event, (seq = judge(seq, event) === "apply" ? event.seq : seq)]);
    assert.deepEqual([judged.map(([verdict]) => verdict), seq], [verdicts, end]);
    if (expected) assert.deepEqual(folded(judged.filter(([verdict]) => verdict === "apply").map(([, event]) => event)), expected);
  },
  close: (given) => assert.deepEqual([reconnects(given.code), !reconnects(given.code) || [1002, 1007, 1009].includes(given.code)],
    [given.reconnect, given.fails_unacknowledged]),
};
function vectors(folder) {
  const cases = readdirSync(folder).flatMap((name) => JSON.parse(readFileSync(`${folder}/${name}`, "utf8")).cases);
  for (const each of cases) VECTORS[each.kind]?.(each);
  console.log(JSON.stringify(Object.keys(VECTORS).map((kind) => [kind, cases.filter((each) => each.kind === kind).length])));
}

/** One turn: sent with a key; after its first text the connection is dropped, and it is read to its end on others. */
function ask(address, token, chat, content) {
  const send = { type: "send", id: "send", key: randomBytes(16).toString("hex"), content, ...pick(chat, "conversation") };
  let turn, over = false, dropped = false, asked = false;
  return new Promise((resolve, reject) => {
    const open = () => {
      const socket = new WebSocket(address, ["turnwire.v1"]);
      const say = (command) => socket.send(JSON.stringify(command));
      const follow = () => { asked = true; say({ type: "subscribe", id: "follow", conversation: chat.conversation, after: chat.fold.seq, ...pick(chat, "epoch") }); };
      socket.onopen = () => say({ type: "hello", id: "hello", token });
      socket.onclose = ({ code }) => (over ? undefined : reconnects(code) || code === 1000 ? setTimeout(open, 10) : reject(new Error(`closed ${code}`)));
      socket.onmessage = ({ data }) => {
        const message = JSON.parse(data);
        if (message.type === "welcome") { if (chat.epoch) follow(); if (!turn) say(send); }
        else if (message.type === "reject") reject(new Error(message.code));
        else if (message.type === "ack" && message.id === "send") ({ turn, conversation: chat.conversation, epoch: chat.epoch } = message);
        else if (message.type === "ack" && message.id === "follow") { asked = false; chat.epoch = message.epoch; }
        else if (message.type === "reset") Object.assign(chat, { epoch: message.epoch, fold: folded([]) });
        else if (message.seq && message.conversation === chat.conversation && !asked) {
          const verdict = judge(chat.fold.seq, message);
          if (verdict === "resubscribe") follow();
          if (verdict === "apply") apply(chat.fold, message);
          if (message.type === "done" && message.turn === turn) { over = true; socket.close(1000); resolve(); }
          else if (message.type === "token" && !dropped) { dropped = true; socket.onmessage = null; socket.close(1000); }
        }
      };
    };
    open();
  });
}

const [mode, ...rest] = process.argv.slice(2);
if (mode === "vectors") vectors(rest[0]);
else {
  const chat = { fold: folded([]) };
  for await (const line of createInterface({ input: process.stdin })) await ask(...rest, chat, line);
  console.log(JSON.stringify(chat));
}
