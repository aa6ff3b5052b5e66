/** What the page says: numbers, durations, and error codes with what to do about them; pure. */

/** @typedef {{ title: string, remedy: string }} Explanation */

/** @type {Record<string, Explanation>} */
const EXPLANATIONS = {
  rate_limit: {
    title: "Claude is getting too many requests right now.",
    remedy: "Wait a moment, then send your message again.",
  },
  overloaded: {
    title: "Claude is overloaded right now.",
    remedy: "Wait a moment, then send your message again.",
  },
  auth_error: {
    title: "Claude refused this server’s API key.",
    remedy: "Whoever runs the server has to check its ANTHROPIC_API_KEY.",
  },
  permission_denied: {
    title: "This server’s API key may not use this model.",
    remedy: "Whoever runs the server has to choose another model or key.",
  },
  invalid_request: {
    title: "Claude could not accept this request.",
    remedy: "Try to say it differently, or start a new chat.",
  },
  context_too_long: {
    title: "This conversation has become too long for the model.",
    remedy: "Start a new chat and bring along what matters.",
  },
  not_found: {
    title: "The model was not found.",
    remedy: "Whoever runs the server has to choose another model.",
  },
  network_error: {
    title: "The connection to Claude broke.",
    remedy: "Send your message again.",
  },
  timeout: {
    title: "Claude took too long to answer.",
    remedy: "Send your message again.",
  },
  storage_unavailable: {
    title: "The answer could not be saved, so it was stopped.",
    remedy: "Try again in a moment. If it goes on, the server’s disk needs attention.",
  },
  internal: {
    title: "Something went wrong on the server.",
    remedy: "Send your message again.",
  },
  busy: {
    title: "Claude is still answering the message before.",
    remedy: "Wait for the answer or stop it, then try again.",
  },
  too_large: {
    title: "This message is too large.",
    remedy: "Shorten it, send it in parts, or attach less.",
  },
  too_many: {
    title: "You have reached a limit of this server.",
    remedy: "Wait a moment, then try again.",
  },
  draining: {
    title: "The server is restarting.",
    remedy: "Try again in a moment.",
  },
  unknown_turn: {
    title: "This was replaced already, perhaps in another window.",
    remedy: "Trying again sends it as a new message.",
  },
  unauthorized: {
    title: "You are not signed in to this server.",
    remedy: "Enter its token, then try again.",
  },
  unknown_conversation: {
    title: "This conversation cannot be opened.",
    remedy: "It may have been deleted, or it belongs to somebody else.",
  },
};

/**
 * An error code in words; a code nobody knows here is explained by the server's own message.
 *
 * @param {string | undefined} code
 * @param {string} [message]
 * @returns {Explanation}
 */
export function explain(code, message) {
  const known = code === undefined ? undefined : EXPLANATIONS[code];
  // Which limit it is, and until when, only the server knows.
  if (known && code === "too_many" && message) return { title: known.title, remedy: sentence(message) };
  return known ?? { title: message || "Something went wrong.", remedy: "" };
}

/**
 * A server's message as a sentence.
 *
 * @param {string} message
 */
function sentence(message) {
  const first = message.charAt(0).toUpperCase() + message.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}

/**
 * What keeps Claude, while the server waits to try again.
 *
 * @param {string} code
 */
export function retryCause(code) {
  if (code === "rate_limit" || code === "overloaded") return "Claude is busy";
  if (code === "network_error" || code === "timeout") return "The connection to Claude broke";
  return "Claude could not answer";
}

/** @type {Record<string, Explanation | undefined>} */
const ENDINGS = {
  end_turn: undefined,
  cancelled: { title: "Stopped", remedy: "" },
  stop_sequence: { title: "Ended at a stop sequence", remedy: "" },
  max_tokens: {
    title: "Cut off at the length limit",
    remedy: "Ask Claude to continue, or for a shorter answer.",
  },
  model_context_window_exceeded: {
    title: "Cut off: the conversation has become too long for the model",
    remedy: "Start a new chat and bring along what matters.",
  },
  refusal: {
    title: "Claude declined to answer this",
    remedy: "Claude will not see this exchange again. Edit your message, or ask something else.",
  },
  max_steps: {
    title: "Stopped after too many tool calls",
    remedy: "Ask Claude to go on, or for less at once.",
  },
  interrupted: {
    title: "Interrupted: the server was restarted",
    remedy: "What came so far is kept. Regenerate the answer, or just go on.",
  },
  failed: { title: "Failed", remedy: "Regenerate the answer, or just go on." },
};

/**
 * How an answer ended, where that deserves a mark; undefined for an ordinary end. A reason nobody
 * knows here is told as it is.
 *
 * @param {string} stopReason
 * @param {boolean} hasBegun whether the turn has been running at all
 * @returns {Explanation | undefined}
 */
export function ending(stopReason, hasBegun) {
  if (!hasBegun) return { title: "Not answered", remedy: "It was removed before its turn came." };
  return stopReason in ENDINGS ? ENDINGS[stopReason] : { title: `Ended: ${stopReason}`, remedy: "" };
}

/** @param {number} count */
export function countOf(count) {
  // Not `toLocaleString`: the first one takes the browser 10 ms, in the frame that ends an answer.
  return String(count).replace(/\B(?=(?:\d{3})+$)/g, ",");
}

/** @param {number} milliseconds */
export function duration(milliseconds) {
  const seconds = milliseconds / 1000;
  if (seconds < 1) return `${Math.max(1, Math.round(milliseconds))} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 59.5) return `${Math.round(seconds)} s`;
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/**
 * How long somebody has to answer.
 *
 * @param {number} seconds
 */
export function timeLeft(seconds) {
  if (seconds <= 0) return "";
  const ticking = String(seconds % 60).padStart(2, "0");
  return seconds < 6000 ? `${Math.floor(seconds / 60)}:${ticking} left` : "";
}

/** @param {number} bytes */
export function fileSize(bytes) {
  if (bytes < 1000) return `${bytes} bytes`;
  if (bytes < 999_500) return `${Math.round(bytes / 1000)} kB`;
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** @param {number} usd */
export function cost(usd) {
  return usd < 0.01 ? `$${usd.toFixed(4)}` : `$${usd.toFixed(2)}`;
}

/**
 * The first words of a text, as a title of at most 60 characters.
 *
 * @param {string} text
 */
export function firstWords(text) {
  const line = text.slice(0, 400).replace(/\s+/g, " ").trim();
  if (line.length <= 60) return line;
  const cut = line.slice(0, 60);
  const space = cut.lastIndexOf(" ");
  return `${space > 30 ? cut.slice(0, space) : [...cut].slice(0, -1).join("")}…`;
}
