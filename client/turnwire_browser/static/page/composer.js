/** Where the user writes: a growing field, drafts that outlive a reload; Send, Queue, Interrupt, Stop. */

import { byId, element, icon, setText } from "./element.js";
import { isComposing, isEnter } from "./keys.js";
import { recall, remember } from "./storage.js";

/** @typedef {"idle" | "answering" | "stopping"} Activity */

/** @typedef {"queue" | "interrupt"} IfBusy what becomes of a message while an answer is being written */

export class Composer {
  /** @type {Activity} */
  #activity = "idle";
  #slot = "new";

  /**
   * @param {(text: string, ifBusy: IfBusy) => void} send
   * @param {() => void} stop
   */
  constructor(send, stop) {
    this.onSend = send;
    this.onStop = stop;
    this.form = byId("composer", HTMLFormElement);
    this.field = byId("message", HTMLTextAreaElement);
    this.sendButton = byId("send", HTMLButtonElement);
    this.stopButton = byId("stop", HTMLButtonElement);
    this.stopWord = element("span", {}, "Stop");
    this.meanwhile = byId("meanwhile", HTMLElement);
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
    this.field.addEventListener("input", () => this.#changed());
    this.stopButton.addEventListener("click", () => this.#stop());
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !isComposing(event)) this.#stop();
    });
    this.#changed();
  }

  /**
   * Turn to a conversation: its draft comes back.
   *
   * @param {string} slot the conversation's id, or "new"
   */
  open(slot) {
    this.#slot = slot;
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
    this.#changed();
  }

  /**
   * Put a text that was not sent before what is being written.
   *
   * @param {string} text
   */
  putBack(text) {
    this.#write(this.field.value ? `${text}\n\n${this.field.value}` : text);
    this.field.focus();
  }

  /** @param {Activity} activity */
  show(activity) {
    if (activity === this.#activity) return;
    const hadFocus = this.form.contains(document.activeElement);
    this.#activity = activity;
    this.stopButton.hidden = activity === "idle";
    const label = activity === "idle" ? "Send message" : "Queue message";
    this.sendButton.setAttribute("aria-label", label);
    this.#offer();
    // Not `disabled`: the button keeps the keyboard's focus until Send takes its place.
    this.stopButton.setAttribute("aria-disabled", String(activity === "stopping"));
    setText(this.stopWord, activity === "stopping" ? "Stopping…" : "Stop");
    if (hadFocus && activity !== "stopping") this.focus();
  }

  /** Where there is a keyboard; on a touch screen it would bring one up. */
  focus() {
    if (matchMedia("(pointer: fine)").matches) this.field.focus();
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    if (!isEnter(event)) return;
    event.preventDefault();
    this.#submit(event.ctrlKey || event.metaKey ? "interrupt" : "queue");
  }

  /** @param {IfBusy} ifBusy */
  #submit(ifBusy) {
    const text = this.field.value.trim();
    if (!text) return;
    this.#write("");
    this.onSend(text, ifBusy);
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
    const isEmpty = this.field.value.trim() === "";
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
