// Answers over HTTP that end before their end: the server was killed, or the line went down.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, test } from "node:test";

import { Blobs } from "../../client/turnwire_browser/static/turnwire/blobs.js";
import { Http } from "../../client/turnwire_browser/static/turnwire/http.js";
import { Library } from "../../client/turnwire_browser/static/page/library.js";

let blobs, library;
const server = createServer((request, response) => {
  response.writeHead(200, { "Content-Length": 100 });
  response.write("{", () => response.socket.destroy());
});

before(async () => {
  await once(server.listen(0, "127.0.0.1"), "listening");
  const url = `http://127.0.0.1:${server.address().port}`;
  blobs = new Blobs(new Http(`${url}/v1`, undefined), () => undefined);
  globalThis.document = { baseURI: url };
  library = new Library();
});
after(() => server.close());

const cutOff = { name: "TurnwireError", code: "network_error", retryable: true };

test("an upload's answer, a download and a file that are cut off are errors of the network", async () => {
  await assert.rejects(blobs.upload(new Blob(["x"], { type: "image/png" }), {}), cutOff);
  await assert.rejects(blobs.download({ blob: "b_1" }, {}), cutOff);
  await assert.rejects(blobs.downloadFile("c_1", "f_1", {}), cutOff);
});

test("so are the page's list of conversations, a title and an export", async () => {
  await assert.rejects(library.list(50), cutOff);
  await assert.rejects(library.title("c_1"), cutOff);
  await assert.rejects(library.save({ conversation: "c_1", title: "x" }, "json"), cutOff);
});
