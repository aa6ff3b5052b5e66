// turnwire.js, driven by players.py: a JSON object a line on standard input, each answered by one on standard output.

import { createInterface } from "node:readline";

import { TurnwireError, connect } from "../../client/turnwire_browser/static/turnwire.js";

/** The conversation of each tab. */
const chats = new Map();

const methods = {
  async open({ tab, url, conversation }) {
    const wire = connect(url, { random: () => 0 });
    chats.set(tab, wire.conversation(conversation ?? undefined));
    await until(wire, ({ state }) => state === "open");
  },
  async follow({ tab }) {
    chats.get(tab).subscribe(() => {});
  },
  async act({ tab, command: { type, content, turn, tool_id, decision, input, client_tools } }) {
    const chat = chats.get(tab);
    try {
      if (type === "send") return { turn: (await chat.send(content, client_tools && { client_tools })).id };
      if (type === "cancel") return { turn, outcome: await chat.cancel({ turn }) };
      if (type === "decide") await chat.decide(tool_id, decision, input && { input });
      else if (type === "tool_output") await chat.toolOutput(tool_id, content);
      else throw new Error(`no call sends ${type}`);
      return {};
    } catch (error) {
      if (error instanceof TurnwireError) return { code: error.code };
      throw error;
    }
  },
  async turns({ tab, seq: wanted }) {
    const { turns } = await until(chats.get(tab), ({ seq }) => seq === wanted);
    return turns;
  },
};

/** The first snapshot that is as wanted. */
function until(source, isWanted) {
  return new Promise((resolve) => {
    const look = () => {
      const snapshot = source.getSnapshot();
      if (!isWanted(snapshot)) return;
      stop();
      resolve(snapshot);
    };
    const stop = source.subscribe(look);
    look();
  });
}

for await (const line of createInterface({ input: process.stdin })) {
  const { id, method, ...given } = JSON.parse(line);
  methods[method](given).then((value = null) => console.log(JSON.stringify({ id, value })));
}
process.exit();
