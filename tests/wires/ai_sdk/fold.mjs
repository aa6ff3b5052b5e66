// The published clients' own reading of chunks: `[{version, chunks}]` comes in, their last messages
// go out.
import { readFileSync } from "node:fs";

import * as v7 from "ai";
import * as v6 from "ai6";
import * as v5 from "ai5";

const AI = { v5, v6, v7 };

async function fold({ version, chunks }) {
  const stream = new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });
  const problems = [];
  let last = null;
  const onError = error => void problems.push(String(error));
  for await (const message of AI[version].readUIMessageStream({ stream, onError })) last = message;
  return { message: last, problems };
}

const cases = JSON.parse(readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(await Promise.all(cases.map(fold))));
