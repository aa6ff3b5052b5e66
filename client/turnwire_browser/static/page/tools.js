/** The tools this page offers to Claude: a question to the user, and what only a browser knows. */

/** @typedef {import("../turnwire/turnwire.js").Wire} Wire */

/** It has no handler: the page shows a form, and what the user answers is the result. */
export const ASK_USER = "ask_user";
const BROWSER_INFO = "browser_info";

/**
 * Whether calls of this tool are run without the user.
 *
 * @param {string} name
 */
export function isHandled(name) {
  return name === BROWSER_INFO;
}

/** @type {import("../turnwire/messages.js").ClientTool} */
export const QUESTION = {
  name: ASK_USER,
  description:
    "Ask the user a question and wait for the answer: for a choice or a fact that you need to go " +
    "on, and only the user has. What can wait is better asked at the end of your reply.",
  input_schema: {
    type: "object",
    properties: {
      question: {
        type: "string",
        description: "The question, in a sentence or two.",
        examples: ["What shall we drink while we talk?"],
      },
      choices: {
        type: "array",
        items: { type: "string" },
        maxItems: 8,
        description: "Short answers to pick from, if there are obvious ones. Others stay possible.",
        examples: [["Tea", "Coffee", "Water"]],
      },
    },
    required: ["question"],
  },
};

/**
 * The tool with a handler; `QUESTION` goes with each send, as long as the server lets it.
 *
 * @param {Wire} wire
 */
export function offerTools(wire) {
  wire.tool({
    name: BROWSER_INFO,
    description:
      "The local date and time here, where the user is, with the time zone; the languages the user " +
      "reads; and the title of the page.",
    input_schema: { type: "object", properties: {} },
    run: () => browserInfo(new Date()),
  });
}

/** @param {Date} now */
export function browserInfo(now) {
  return {
    local_time: now.toLocaleString("en", { dateStyle: "full", timeStyle: "long" }),
    time_zone: Intl.DateTimeFormat().resolvedOptions().timeZone,
    languages: navigator.languages,
    page_title: document.title,
  };
}
