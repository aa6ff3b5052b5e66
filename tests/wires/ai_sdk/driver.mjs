// Pages without a browser: the published `ai`, its chat class and its transports, driven by lines of
// JSON. `{id, page, op, …}` comes in, `{id, value}` or `{id, error}` goes out. Knows no server.
import { createInterface } from "node:readline";

import * as v7 from "ai";
import * as v6 from "ai6";
import * as v5 from "ai5";

const AI = { v5, v6, v7 };

/** A chat's state, which tells when it changes. */
class State {
  #fields;

  constructor(messages) {
    this.#fields = { messages, status: "ready", error: undefined };
    this.changed = new EventTarget();
    for (const name of Object.keys(this.#fields)) {
      Object.defineProperty(this, name, {
        get: () => this.#fields[name],
        set: value => {
          this.#fields[name] = value;
          this.changed.dispatchEvent(new Event("change"));
        },
      });
    }
  }

  pushMessage = message => void (this.messages = [...this.messages, message]);
  popMessage = () => void (this.messages = this.messages.slice(0, -1));
  replaceMessage = (index, message) =>
    void (this.messages = this.messages.with(index, structuredClone(message)));
  snapshot = value => structuredClone(value);
}

/** A page: one chat, and what it was told. */
class Page {
  constructor({ chat, version, transport, api, body, headers, messages, auto, tools, context }) {
    const ai = AI[version];
    this.state = new State(messages ?? []);
    this.ran = [];
    this.data = [];
    this.finishes = [];
    this.requests = 0;
    const shared = { body: body ?? undefined, headers: headers ?? undefined };
    const over = { sse: ai.DefaultChatTransport, ws: ai.WebSocketChatTransport }[transport];
    this.transport = over
      ? new over({ api, url: api, fetch: this.#fetch, ...shared })
      : new AI.assistant({ api, fetch: this.#fetch, ...shared });
    if (context) this.transport.setRuntime({ thread: { getModelContext: () => context }, threads: {} });
    class Chat extends ai.AbstractChat {}
    this.chat = new Chat({
      id: chat,
      state: this.state,
      transport: this.transport,
      onData: part => void this.data.push(part),
      onFinish: finish => {
        const { finishReason: reason, isAbort, isError, isDisconnect } = finish;
        this.finishes.push({ reason, isAbort, isError, isDisconnect });
        this.state.changed.dispatchEvent(new Event("change"));
      },
      onError: () => {},
      onToolCall: ({ toolCall }) => {
        if (!(toolCall.toolName in (tools ?? {})) || toolCall.dynamic) return;
        this.ran.push(toolCall.toolCallId);
        const output = tools[toolCall.toolName];
        if (output === null) return;
        // Not awaited: it would wait for itself.
        void this.output({ tool: toolCall.toolName, toolCallId: toolCall.toolCallId, output });
      },
      sendAutomaticallyWhen: auto
        ? options => {
            const { lastAssistantMessageIsCompleteWithApprovalResponses: approved } = ai;
            return (
              ai.lastAssistantMessageIsCompleteWithToolCalls(options) ||
              Boolean(approved?.(options))
            );
          }
        : undefined,
    });
  }

  #fetch = async (url, init) => {
    this.requests += 1;
    const response = await fetch(url, init);
    if (!response.body) return response;
    const cut = new TransformStream();
    const abort = new AbortController();
    this.cutBody = () => abort.abort(new TypeError("network error"));
    response.body.pipeTo(cut.writable, { signal: abort.signal }).catch(() => {});
    return new Response(cut.readable, response);
  };

  // Operations

  send = ({ text, files, message, body }) =>
    this.chat.sendMessage(
      { ...(message ? { id: message } : {}), parts: [...(files ?? []), { type: "text", text }] },
      { body },
    );
  edit = ({ text, message }) => this.chat.sendMessage({ text, messageId: message });
  go = () => this.chat.sendMessage();
  regenerate = ({ message }) => this.chat.regenerate(message ? { messageId: message } : {});
  resume = () => this.chat.resumeStream();
  stop = () => this.chat.stop();
  approve = ({ tool_id, approved, reason }) =>
    this.chat.addToolApprovalResponse({ id: tool_id, approved, reason });
  output = given => this.chat.addToolOutput(given);
  heal = () => this.chat["~resumeStreamIfDisconnected"]();
  cut = () => (this.cutBody ? this.cutBody() : this.transport.connection.socket.close());
  close = () => this.transport.close();

  view = () => ({
    status: this.state.status,
    error: this.state.error?.message ?? null,
    messages: this.state.messages,
    ran: this.ran,
    data: this.data,
    finishes: this.finishes,
    requests: this.requests,
  });

  /** Resolves once the expression over `view` is true. */
  until = ({ expression }) => {
    const holds = new Function("page", `with (page) return (${expression});`);
    return new Promise((resolve, reject) => {
      const look = () => {
        try {
          if (!holds({ ...this.view(), last: this.state.messages.at(-1) ?? { parts: [] } })) return;
          this.state.changed.removeEventListener("change", look);
          resolve(this.view());
        } catch (error) {
          reject(error);
        }
      };
      this.state.changed.addEventListener("change", look);
      look();
    });
  };
}

const pages = new Map();

async function perform({ page, op, ...given }) {
  if (op === "open") {
    if (given.transport === "assistant" && !AI.assistant) {
      // React and all its own: only for who asks.
      AI.assistant = (await import("@assistant-ui/ai-sdk")).AssistantChatTransport;
    }
    pages.set(page, new Page(given));
    return null;
  }
  return (await pages.get(page)[op](given)) ?? null;
}

for await (const line of createInterface({ input: process.stdin })) {
  const { id, ...request } = JSON.parse(line);
  const say = answer => process.stdout.write(`${JSON.stringify({ id, ...answer })}\n`);
  perform(request).then(
    value => say({ value }),
    error => say({ error: String(error?.stack ?? error) }),
  );
}
