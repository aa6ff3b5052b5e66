/** Where the user writes: text and files, drafts that outlive a reload; Send, Queue, Interrupt, Stop. */

import { attachmentsOf, contentOf, plain } from "./content.js";
import { byId, element, icon, setText } from "./element.js";
import { isComposing, sends } from "./keys.js";
import { words } from "./language.js";
import { recall, remember } from "./storage.js";
import { Tray } from "./tray.js";

/** @typedef {import("../turnwire/messages.js").Content} Content */

/** @typedef {"idle" | "answering" | "stopping"} Activity */

/** @typedef {"queue" | "interrupt"} IfBusy what becomes of a message while an answer is being written */

/** A text that is longer is pasted as a file: it would push what is being written out of sight. */
const LONG_CHARACTERS = 4000;
const LONG_LINES = 80;

export class Composer {
  /** @type {Activity} */
  #activity = "idle";
  #slot = "new";
  /** @type {string | undefined} the call that waits for the user */
  #asked;
  /** @type {IfBusy | undefined} how to send as soon as all files are there */
  #waiting;

  /**
   * @param {(content: Content, ifBusy: IfBusy) => void} send
   * @param {() => void} stop
   * @param {import("./upload.js").Depot} depot for files
   */
  constructor(send, stop, depot) {
    this.onSend = send;
    this.onStop = stop;
    this.form = byId("composer", HTMLFormElement);
    this.field = byId("message", HTMLTextAreaElement);
    this.sendButton = byId("send", HTMLButtonElement);
    this.stopButton = byId("stop", HTMLButtonElement);
    this.stopWord = element("span", {}, words.composer.stop);
    this.meanwhile = byId("meanwhile", HTMLElement);
    this.waits = byId("waits", HTMLElement);
    this.waitsWords = element("span", {});
    const show = () => {
      const card = document.querySelector(".card");
      card?.scrollIntoView({ block: "center" });
      card?.querySelector("button")?.focus({ preventScroll: true });
    };
    this.waits.append(this.waitsWords, element("button", { type: "button", onclick: show }, words.card.show));
    this.tray = new Tray(
      { list: byId("tray", HTMLElement), note: byId("tray-note", HTMLElement), field: this.field },
      depot,
      () => this.#filesChanged(),
      (text) => {
        this.#write([this.field.value, text].filter(Boolean).join("\n\n"));
        this.field.focus();
      },
    );
    this.#attachBy(byId("attach", HTMLButtonElement), byId("files", HTMLInputElement));
    this.sendButton.append(icon("send"));
    this.stopButton.append(element("i", { class: "square", "aria-hidden": "true" }), this.stopWord);

    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit("queue");
    });
    byId("interrupt", HTMLButtonElement).addEventListener("click", () => {
      this.#submit("interrupt");
      this.focus();
    });
    this.field.addEventListener("keydown", (event) => this.#onKey(event));
    this.field.addEventListener("input", () => {
      this.#wait(undefined);
      this.#changed();
    });
    this.stopButton.addEventListener("click", () => this.#stop());
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || isComposing(event)) return;
      if (this.#waiting) this.#wait(undefined);
      else this.#stop();
    });
    document.addEventListener("paste", (event) => this.#onPaste(event));
    this.#offer();
  }

  /**
   * Turn to a conversation: its draft comes back.
   *
   * @param {string} slot the conversation's id, or "new"
   */
  open(slot) {
    this.#wait(undefined);
    this.#slot = slot;
    this.tray.open(slot);
    this.#write(recall(`draft.${slot}`) ?? "");
    this.focus();
  }

  /**
   * The conversation that is open has got its id; what is being written goes with it.
   *
   * @param {string} slot
   */
  rename(slot) {
    remember(`draft.${this.#slot}`, "");
    this.#slot = slot;
    this.tray.rename(slot);
    this.#changed();
  }

  /**
   * Put what was not sent before what is being written.
   *
   * @param {Content} content
   */
  putBack(content) {
    this.#wait(undefined);
    this.tray.putBack(attachmentsOf(content));
    this.#write([plain(content), this.field.value].filter(Boolean).join("\n\n"));
    this.field.focus();
  }

  /**
   * Take files into the message.
   *
   * @param {Iterable<File>} files
   */
  attach(files) {
    this.#wait(undefined);
    this.tray.add(files);
    this.focus();
  }

  /**
   * @param {Activity} activity
   * @param {import("../turnwire/fold.js").ToolBlock} [asking] the call for which Claude waits for the user
   */
  show(activity, asking) {
    this.#showAsked(asking);
    if (activity === this.#activity) return;
    const hadFocus = this.form.contains(document.activeElement);
    this.#activity = activity;
    this.stopButton.hidden = activity === "idle";
    const label = activity === "idle" ? words.composer.send : words.composer.queue;
    this.sendButton.setAttribute("aria-label", label);
    this.#offer();
    // Not `disabled`: the button keeps the keyboard's focus until Send takes its place.
    this.stopButton.setAttribute("aria-disabled", String(activity === "stopping"));
    setText(this.stopWord, activity === "stopping" ? words.composer.stopping : words.composer.stop);
    if (hadFocus && activity !== "stopping") this.focus();
  }

  /** @param {import("../turnwire/fold.js").ToolBlock | undefined} asking */
  #showAsked(asking) {
    if (asking?.tool_id === this.#asked) return;
    this.#asked = asking?.tool_id;
    this.waits.hidden = asking === undefined;
    const { card, composer } = words;
    const { waitsToAllow, waitsForAnswer } = card;
    if (asking) {
      const isAnswer = asking.state !== "waiting";
      setText(this.waitsWords, isAnswer ? waitsForAnswer : waitsToAllow(asking.tool_name));
    }
    setText(byId("meanwhile-words", HTMLElement), asking ? composer.meanwhileAsked : composer.meanwhile);
  }

  /**
   * Say which key sends.
   *
   * @param {"enter" | "control"} sendKey
   */
  hint(sendKey) {
    const { hintEnter, hintControl } = words.composer;
    const parts = sendKey === "enter" ? hintEnter : hintControl;
    const kbd = (/** @type {string} */ keys) => element("kbd", {}, keys);
    const children = parts.map((part, index) => (index % 2 ? part : kbd(part)));
    byId("hint", HTMLElement).replaceChildren(...children);
    const control = hintControl[0] ?? "";
    byId("interrupt", HTMLButtonElement).title = sendKey === "enter" ? control : `${hintEnter[2]?.split(" ")[0]} + ${control}`;
  }

  /** Where there is a keyboard; on a touch screen it would bring one up. */
  focus() {
    if (matchMedia("(pointer: fine)").matches) this.field.focus();
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const how = sends(event);
    if (!how) return;
    event.preventDefault();
    this.#submit(how);
  }

  /** @param {IfBusy} ifBusy */
  #submit(ifBusy) {
    const text = this.field.value.trim();
    const { state } = this.tray;
    if (!text && state === "empty") return;
    this.#wait(state === "uploading" ? ifBusy : undefined);
    if (state === "uploading") return;
    if (state === "failed") return this.tray.say(words.composer.notUploaded);
    const content = contentOf(text, this.tray.take());
    this.#write("");
    this.onSend(content, ifBusy);
  }

  /** @param {IfBusy | undefined} ifBusy undefined: do not, the message has changed */
  #wait(ifBusy) {
    this.#waiting = ifBusy;
    this.tray.say(ifBusy ? words.composer.afterUpload : "");
  }

  #filesChanged() {
    const { state } = this.tray;
    if (this.#waiting && (state === "ready" || state === "failed")) this.#submit(this.#waiting);
    this.#offer();
  }

  /**
   * @param {HTMLButtonElement} button
   * @param {HTMLInputElement} input
   */
  #attachBy(button, input) {
    button.append(icon("attach"));
    button.addEventListener("click", () => input.click());
    input.addEventListener("change", () => {
      this.attach(input.files ?? []);
      // The same file may be picked again.
      input.value = "";
    });
  }

  /** @param {ClipboardEvent} event */
  #onPaste(event) {
    const isElsewhere = event.target !== this.field && isField(event.target);
    const files = event.clipboardData?.files ?? [];
    // Office programs add a picture of the text: it is the text that is meant.
    const isText = event.clipboardData?.types.includes("text/plain");
    const text = event.target === this.field ? (event.clipboardData?.getData("text/plain") ?? "") : "";
    if (text.length > LONG_CHARACTERS || text.split("\n").length > LONG_LINES) {
      event.preventDefault();
      return this.attach([new File([text], `${words.files.pasted}.txt`, { type: "text/plain" })]);
    }
    if (isElsewhere || isText || files.length === 0) return;
    event.preventDefault();
    this.attach(files);
  }

  #stop() {
    if (this.#activity === "answering") this.onStop();
  }

  /** @param {string} text */
  #write(text) {
    this.field.value = text;
    this.#changed();
  }

  /** While an answer is being written, sending is offered as soon as there is something to send. */
  #offer() {
    const isIdle = this.#activity === "idle";
    const isEmpty = this.field.value.trim() === "" && this.tray.state === "empty";
    this.sendButton.disabled = isEmpty;
    this.sendButton.hidden = isEmpty && !isIdle;
    this.meanwhile.hidden = isEmpty || isIdle;
  }

  #changed() {
    const { field } = this;
    remember(`draft.${this.#slot}`, field.value);
    this.#offer();
    if (CSS.supports("field-sizing", "content")) return;
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight}px`;
  }
}

/** @param {EventTarget | null} target */
function isField(target) {
  return target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement;
}
