// Tools, decisions and blobs of two wires at a real service: `node live_tools.mjs http://host:port`; prints what came of it.

import assert from "node:assert/strict";

import { connect } from "../../client/turnwire_browser/static/turnwire/turnwire.js";

const [service] = process.argv.slice(2);

const sockets = [];
class Recorded extends WebSocket {
  constructor(...given) {
    super(...given);
    sockets.push(this);
  }
}

const ran = { runner: 0, other: 0 };
const tool = { name: "page_title", description: "The page's title.", input_schema: { type: "object" } };
const runner = connect(service, { WebSocket: Recorded, random: () => 0.005 });
const other = connect(service);
runner.tool({
  ...tool,
  run: async (input, { progress, conversation }) => {
    ran.runner += 1;
    progress("looking", 0.5);
    // The second tab follows by now: it must see the call, and leave it alone.
    const same = other.conversation(conversation);
    const seen = new Promise((resolve) => same.subscribe(() => callOf(same)?.state === "executing" && resolve()));
    await seen;
    sockets.at(-1).close(4000);
    return "Turnwire";
  },
});
other.tool({ ...tool, run: () => (ran.other += 1) });

const callOf = (chat) => chat.getSnapshot().turns.at(-1)?.blocks.find(({ type }) => type === "tool");

setTimeout(() => {
  console.error(runner.getSnapshot(), other.getSnapshot(), ran);
  process.exit(1);
}, Number(process.env.GIVE_UP_MILLISECONDS)).unref();

const chat = runner.conversation();
const titled = await (await chat.send("What page is this?")).done;
assert.equal(callOf(chat).result.content, "Turnwire");
assert.deepEqual(ran, { runner: 1, other: 0 });
assert(sockets.length > 1, "the connection was not lost");

// An image goes in, into a message, and comes out again.
const bytes = new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 1, 2, 3]);
const image = await runner.upload(new Blob([bytes], { type: "image/png" }), { name: "dot.png" });
assert.deepEqual({ ...image, blob: "" }, { type: "image", blob: "", media_type: "image/png", bytes: 11, name: "dot.png" });
const shown = await (await chat.send([{ type: "text", text: "Look:" }, image])).done;
assert.deepEqual(new Uint8Array(await (await other.download(image)).arrayBuffer()), bytes);

const code = (promise) => promise.then(() => "", (error) => error.code);
assert.equal(await code(runner.upload(new Blob(["no"], { type: "image/png" }))), "bad_command");
assert.equal(await code(runner.upload(new Blob([new Uint8Array(2000)], { type: "image/png" }))), "too_large");
assert.equal(await code(other.download({ blob: "b_0" })), "not_found");
const stopped = AbortSignal.abort();
assert.equal((await runner.upload(new Blob([bytes]), { signal: stopped }).catch((error) => error)).name, "AbortError");
const nobody = connect("http://127.0.0.1:9");
assert.equal(await code(nobody.download(image)), "network_error");

// Both decide at once: one is first.
const erasing = await chat.send("Erase it.");
const same = other.conversation(chat.id);
await Promise.all([chat, same].map((one) => new Promise((resolve) => {
  one.subscribe(() => callOf(one)?.state === "waiting" && resolve());
  if (callOf(one)?.state === "waiting") resolve();
})));
const { tool_id } = callOf(chat);
assert.equal(await code(chat.decide(tool_id, "allow", { input: { path: 7 } })), "bad_command");
const codes = await Promise.all([
  code(chat.decide(tool_id, "allow", { input: { path: "b.txt" } })),
  code(same.decide(tool_id, "allow", { input: { path: "b.txt" } })),
]);
assert.deepEqual(codes.sort(), ["", "already_decided"]);
const erased = await erasing.done;

for (const wire of [runner, other, nobody]) wire.close();
console.log(JSON.stringify([titled, shown, erased].map(({ text }) => text)));
