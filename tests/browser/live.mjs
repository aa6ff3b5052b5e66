// An answer through a proxy that cuts each connection after some bytes, mostly inside a frame: `node live.mjs http://host:port`.

import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";

import { connect } from "../../client/turnwire_browser/static/turnwire/turnwire.js";

const [service] = process.argv.slice(2);
const { hostname, port } = new URL(service);

let connections = 0;
const proxy = net.createServer((down) => {
  connections += 1;
  const up = net.connect(Number(port), hostname);
  // A little more each time, so that every event gets through at last.
  let allowed = 900 + connections * 37;
  down.pipe(up);
  up.on("data", (data) => {
    if (allowed <= 0) return;
    const passed = data.subarray(0, allowed);
    allowed -= passed.length;
    if (allowed > 0) down.write(passed);
    else down.end(passed);
  });
  for (const socket of [up, down]) {
    socket.on("error", () => {});
    socket.on("close", () => [up, down].forEach((one) => one.destroy()));
  }
});
proxy.listen(0, "127.0.0.1");
await once(proxy, "listening");

const cut = connect(`http://127.0.0.1:${proxy.address().port}`, { random: () => 0.005 });
const chat = cut.conversation();
// A wait that never ends shows where it stands.
setTimeout(() => {
  console.error(connections, cut.getSnapshot(), chat.getSnapshot());
  process.exit(1);
}, Number(process.env.GIVE_UP_MILLISECONDS)).unref();

const turn = await chat.send("Count, please.");
const before = connections;
let cursor = 0;
let text = "";
for await (const event of turn) {
  assert.equal(event.seq - (event.span ?? 1), cursor);
  cursor = event.seq;
  if (event.type === "token") text += event.text;
}
assert.equal((await turn.done).text, text);
assert(connections > before + 3, `only ${connections - before} cuts while it was answered`);

const whole = connect(service);
const same = whole.conversation(chat.id);
await new Promise((resolve) => {
  same.subscribe(() => same.getSnapshot().state === "live" && resolve());
});
assert.deepEqual(same.getSnapshot().turns, chat.getSnapshot().turns);
assert.equal(await turn.cancel(), "already_done");

for (const wire of [cut, whole]) wire.close();
proxy.close();
console.log(text);
