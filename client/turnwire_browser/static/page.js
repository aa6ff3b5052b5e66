/** The chat page: one connection, one conversation on the screen, the one its address names. */

import { addressed, setAddress, takeToken } from "./page/address.js";
import { Announcer } from "./page/announcer.js";
import { Banner } from "./page/banner.js";
import { Bottom } from "./page/bottom.js";
import { Composer } from "./page/composer.js";
import { OpenConversation } from "./page/conversation.js";
import { byId, icon, setText } from "./page/element.js";
import { oncePerFrame } from "./page/frame.js";
import { remember } from "./page/storage.js";
import { connect } from "./turnwire.js";

const newChat = byId("new-chat", HTMLAnchorElement);
const title = byId("title", HTMLElement);
const bottom = new Bottom(byId("scroller", HTMLElement), byId("jump", HTMLButtonElement));
const announcer = new Announcer(byId("announcer", HTMLElement));
const composer = new Composer(
  (text) => conversation.send(text),
  () => conversation.stop(),
);

const wire = connect(new URL("v1/ws", document.baseURI), { token: takeToken() });
const banner = new Banner(byId("banner", HTMLElement), {
  reconnect: () => wire.reconnect(),
  // Drafts and messages on their way are remembered: a reload loses nothing.
  restart: () => location.reload(),
  authorise: (token) => {
    remember("token", token);
    location.reload();
  },
});
const drawBanner = oncePerFrame(() => banner.update(wire.getSnapshot()));
wire.subscribe(drawBanner);
drawBanner();

let conversation = open(addressed());
newChat.prepend(icon("plus"));
byId("jump", HTMLButtonElement).prepend(icon("down"));

newChat.addEventListener("click", (event) => {
  // A click with a modifier opens another tab: the browser's business.
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  if (conversation.id !== undefined) {
    setAddress(undefined, "push");
    turnTo(undefined);
  }
  composer.focus();
});

addEventListener("popstate", () => {
  if (takeTokenAgain()) return;
  if (addressed() !== conversation.id) turnTo(addressed());
});

/** @param {string | undefined} id */
function turnTo(id) {
  conversation.close();
  conversation = open(id);
}

/**
 * @param {string | undefined} id
 * @returns {OpenConversation}
 */
function open(id) {
  composer.open(id ?? "new");
  announcer.forget();
  return new OpenConversation(wire, id, {
    column: byId("transcript", HTMLElement),
    bottom,
    composer,
    announcer,
    named: (name) => {
      if (addressed() === name) return;
      setAddress(name, "replace");
      composer.rename(name);
    },
    titled: (words) => {
      setText(title, words);
      const full = words ? `${words} – Turnwire` : "Turnwire";
      if (document.title !== full) document.title = full;
    },
  });
}

/** A link with a token, followed while the page is open. */
function takeTokenAgain() {
  if (!/^#\/?token=/.test(location.hash)) return false;
  takeToken();
  location.reload();
  return true;
}
