// Pages without a browser: the published clients, driven by lines of JSON from the tests. Each line
// is {id, page, op, …}; its answer is {id, value} or {id, error}. Nothing here knows what is tested.

import { createInterface } from "node:readline";

import { HttpAgent as HttpAgent1 } from "@ag-ui/client";
import { HttpAgent as HttpAgent0 } from "@ag-ui/client-0";
import { CopilotKitCore } from "@copilotkit/core";

const pages = new Map();

/** What a page has shown, whichever client it has. */
class Page {
  events = [];
  failures = [];
  #watchers = new Set();
  #run = null;

  /** The client's own reducer has made these of the events. */
  get state() {
    return {
      messages: this.agent.messages,
      interrupts: this.agent.pendingInterrupts ?? [],
      events: this.events,
      failures: this.failures,
      isRunning: this.agent.isRunning,
    };
  }

  watch(agent) {
    this.agent = agent;
    agent.subscribe({
      onEvent: ({ event }) => void this.events.push(event),
      onMessagesChanged: () => this.#look(),
      onRunFailed: ({ error }) => {
        this.failures.push(error.message);
        return { stopPropagation: true };
      },
    });
  }

  #look() {
    for (const look of this.#watchers) look();
  }

  /** Resolves once the page shows this text. */
  shows({ text }) {
    return new Promise((resolve) => {
      const look = () => {
        if (!JSON.stringify(this.agent.messages).includes(text)) return;
        this.#watchers.delete(look);
        resolve(this.state);
      };
      this.#watchers.add(look);
      look();
    });
  }

  say({ message }) {
    this.agent.addMessage(message);
  }

  set({ messages }) {
    this.agent.setMessages(messages);
  }

  look() {
    return this.state;
  }

  async run(options) {
    this.begin(options);
    return this.ends();
  }

  /** Begins a run without waiting for it. */
  begin(options) {
    this.events.length = 0;
    this.#run = this.start(options);
    this.#run.catch(() => {});
  }

  async ends() {
    await this.#run;
    return this.state;
  }
}

class AgUiPage extends Page {
  constructor({ url, thread, client }) {
    super();
    const HttpAgent = client === "0.x" ? HttpAgent0 : HttpAgent1;
    this.watch(new HttpAgent({ url: `${url}/v1/ag-ui`, threadId: thread, agentId: "default" }));
  }

  start({ tools, resume, options, context }) {
    const forwardedProps = options && { turnwire: options };
    return this.agent.runAgent({ tools, resume, context, forwardedProps });
  }

  leave() {
    this.agent.abortRun();
  }
}

class CopilotPage extends Page {
  ran = [];

  constructor({ url, thread }) {
    super();
    this.thread = thread;
    // Without one it does not look for its runtime.
    globalThis.window ??= { location: { origin: url } };
    this.core = new CopilotKitCore({ runtimeUrl: `${url}/v1/ag-ui` });
    this.core.subscribe({ onError: ({ error }) => void this.failures.push(error.message) });
  }

  get state() {
    return { ...super.state, ran: this.ran };
  }

  /** Resolves once the page knows the agents of its runtime. */
  async ready() {
    while (this.core.runtimeConnectionStatus !== "connected") {
      await new Promise((resolve) => {
        const { unsubscribe } = this.core.subscribe({
          onRuntimeConnectionStatusChanged: () => (unsubscribe(), resolve()),
        });
      });
    }
    const agent = this.core.getAgent("default");
    agent.threadId = this.thread;
    this.watch(agent);
  }

  /** The page has a tool, which gives `result` at once or, without one, when `releases` does. */
  tool({ name, result }) {
    this.core.addTool({
      name,
      description: "A tool of the page.",
      handler: async (input) => {
        this.ran.push(input);
        return result ?? (await new Promise((resolve) => void (this.release = resolve)));
      },
    });
  }

  releases({ result }) {
    this.release(result);
  }

  properties(properties) {
    this.core.setProperties(properties);
  }

  /** Resolves once a tool runs in the page. */
  async runs() {
    while (!this.ran.length) await new Promise((resolve) => setTimeout(resolve, 1));
    return this.state;
  }

  start({ connects, resume }) {
    const agent = this.agent;
    return connects ? this.core.connectAgent({ agent }) : this.core.runAgent({ agent, resume });
  }

  /** Like `begin`, of what is there already: what a page does when it is loaded. */
  connect() {
    this.begin({ connects: true });
  }

  stop() {
    this.core.stopAgent({ agent: this.agent });
  }
}

const kinds = { "1.0": AgUiPage, "0.x": AgUiPage, copilotkit: CopilotPage };

async function answer({ id, page, op, ...options }) {
  try {
    let value;
    if (op === "open") pages.set(page, new kinds[options.client](options));
    else if (op === "close") pages.delete(page);
    else value = await pages.get(page)[op](options);
    return { id, value };
  } catch (error) {
    return { id, error: String(error?.message ?? error) };
  }
}

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
// The clients talk to the console; the tests read the other stream.
for (const name of ["log", "info", "warn", "error", "debug"]) {
  console[name] = (...said) => process.stderr.write(`${said.map(String).join(" ")}\n`);
}
// A client that falls over its own feet has failed, and it shows in no promise of ours.
process.on("uncaughtException", (error) => say({ fatal: String(error?.stack ?? error) }));
process.on("unhandledRejection", (error) => say({ fatal: String(error?.stack ?? error) }));

createInterface({ input: process.stdin }).on("line", (line) => {
  void answer(JSON.parse(line)).then(say);
});
