// The published clients' own reading of runs: `[{version, before, chunks}]` comes in, the messages
// that their pages have then go out.
import { readFileSync } from "node:fs";

import { AbstractAgent as AbstractAgent1 } from "@ag-ui/client";
import { AbstractAgent as AbstractAgent0 } from "@ag-ui/client-0";
import { from } from "rxjs";

const told = (Agent) =>
  class extends Agent {
    run() {
      return from(this.chunks);
    }
  };
const Agents = { "1.0": told(AbstractAgent1), null: told(AbstractAgent0) };

for (const name of ["log", "warn", "error"]) console[name] = () => {};

async function fold({ version, before, chunks }) {
  const agent = new Agents[version]({ initialMessages: before, threadId: "thread" });
  agent.chunks = chunks;
  const problems = [];
  const onRunFailed = ({ error }) => {
    problems.push(String(error));
    return { stopPropagation: true };
  };
  await agent.runAgent({}, { onRunFailed });
  return { messages: agent.messages, problems };
}

const cases = JSON.parse(readFileSync(0, "utf8"));
const answers = [];
for (const each of cases) answers.push(await fold(each));
process.stdout.write(JSON.stringify(answers));
