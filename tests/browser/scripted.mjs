// A server written by hand for the tests of turnwire.js: sockets without a network, timers without a clock.

import { connect } from "../../client/turnwire_browser/static/turnwire/turnwire.js";

/** Timers that go off when the test says so. */
export class Timers {
  #now = 1_000_000;
  #next = 1;
  #waiting = new Map();

  setTimeout = (callback, milliseconds) => {
    this.#waiting.set(this.#next, { at: this.#now + milliseconds, callback });
    return this.#next++;
  };
  clearTimeout = (handle) => void this.#waiting.delete(handle);
  now = () => this.#now;

  advance(seconds) {
    const end = this.#now + seconds * 1000;
    for (;;) {
      const due = [...this.#waiting].filter(([, timer]) => timer.at <= end);
      const [first] = due.sort(([, one], [, other]) => one.at - other.at);
      if (!first) break;
      const [handle, { at, callback }] = first;
      this.#waiting.delete(handle);
      this.#now = at;
      callback();
    }
    this.#now = end;
  }
}

/** The server's end of one socket; `received` is what the client has sent on it, and `take` takes from it. */
class Socket {
  received = [];
  isClosed = false;

  constructor(url, protocols, sockets) {
    this.url = url;
    this.protocols = protocols;
    sockets.push(this);
  }

  send(text) {
    this.received.push(JSON.parse(text));
  }

  close() {
    this.isClosed = true;
  }

  // The server's side.

  open() {
    this.onopen?.();
  }

  welcome(more = {}) {
    this.open();
    this.say({ type: "welcome", protocol: "turnwire.v1", limits: LIMITS, models: ["m"], heartbeat_seconds: 20, ...more });
  }

  say(...messages) {
    for (const message of messages) this.onmessage?.({ data: JSON.stringify(message) });
  }

  drop(code = 1006, reason = "") {
    this.onclose?.({ code, reason });
  }

  take(type) {
    const index = this.received.findIndex((command) => command.type === type);
    if (index < 0) throw new Error(`no ${type} among ${JSON.stringify(this.received)}`);
    return this.received.splice(index, 1)[0];
  }

  ackSend(more = {}) {
    const { id } = this.take("send");
    this.say({ type: "ack", id, conversation: "c_1", turn: "t_1", seq: 1, epoch: "e", after: 0, ...more });
  }

  ackSubscribe(more = {}) {
    const { id, after } = this.take("subscribe");
    this.say({ type: "ack", id, head: 0, epoch: "e", after, ...more });
  }
}

const LIMITS = { max_frame_bytes: 1000, max_subscriptions: 9, max_running_turns: 9, max_commands_per_second: 9 };

/** A wire somebody listens to, its timers, and the sockets it has opened; `server` is the newest. Jitter is always its bound. */
export function scripted(options = {}) {
  const sockets = [];
  const timers = new Timers();
  const WebSocket = function (url, protocols) {
    return new Socket(url, protocols, sockets);
  };
  const wire = connect("ws://host", { WebSocket, timers, random: () => 1, ...options });
  wire.subscribe(() => {});
  return {
    wire,
    timers,
    sockets,
    get server() {
      return sockets.at(-1);
    },
    /** The client has lost its socket, and its next one is welcome. */
    reconnect(code = 1006) {
      sockets.at(-1).drop(code);
      timers.advance(15);
      sockets.at(-1).welcome();
    },
  };
}

/** A promise that is settled, or else undefined; after everything that waits has run. */
export async function settled(promise) {
  const outcome = promise.then(
    (value) => ({ value }),
    (error) => ({ error }),
  );
  await idle();
  return Promise.race([outcome, idle()]);
}

export function idle() {
  return new Promise((resolve) => setImmediate(resolve));
}

const AT = "2026-01-01T00:00:00Z";
const NO_USAGE = { input_tokens: 0, output_tokens: 0, cache_read_input_tokens: 0, cache_creation_input_tokens: 0 };

/** One turn of seven events: message, start, step, three tokens of "one two three", done. */
export function answer({ turn = "t_1", conversation = "c_1", first = 1, done = {} } = {}) {
  let seq = first;
  const event = (type, fields) => ({ type, conversation, turn, seq: seq++, ...fields });
  return [
    event("message", { at: AT, role: "user", content: "hi" }),
    event("start", { at: AT, model: "m" }),
    event("step", { at: AT, step: 1, attempt: 1, model: "m" }),
    event("token", { block: 0, text: "one " }),
    event("token", { block: 0, text: "two " }),
    event("token", { block: 0, text: "three" }),
    event("done", { at: AT, stop_reason: "end_turn", usage: NO_USAGE, steps: 1, duration_ms: 5, ...done }),
  ];
}

/** Neighbouring tokens of `events` from number `from` on merged into one. */
export function merged(events, from = 0) {
  const rest = events.slice(from);
  const tokens = rest.filter((event) => event.type === "token");
  if (tokens.length < 2) return rest;
  const text = tokens.map((event) => event.text).join("");
  const one = { ...tokens.at(-1), span: tokens.length, text };
  return [...rest.filter((event) => event.seq < tokens[0].seq), one, ...rest.filter((event) => event.seq > one.seq)];
}
