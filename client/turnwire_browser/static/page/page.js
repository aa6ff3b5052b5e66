/** The chat page: one connection, one conversation on the screen, the one its address names. */

import { conversationInAddress, setAddress, takeToken } from "./address.js";
import { Announcer } from "./announcer.js";
import { showAs } from "./appearance.js";
import { Banner } from "./banner.js";
import { Bottom } from "./bottom.js";
import { BRAND, paint } from "./brand.js";
import { ChoicesView, chosen, may } from "./choices.js";
import { Composer } from "./composer.js";
import { OpenConversation } from "./conversation.js";
import { Drawer } from "./drawer.js";
import { takeDrops } from "./drop.js";
import { byId, icon, setText } from "./element.js";
import { Files } from "./files.js";
import { oncePerFrame } from "./frame.js";
import { Health, readiness } from "./health.js";
import { sendWith } from "./keys.js";
import { speak, words } from "./language.js";
import { later, load } from "./later.js";
import { Library } from "./library.js";
import { Shortcuts } from "./shortcuts.js";
import { Sidebar } from "./sidebar.js";
import { remember } from "./storage.js";
import { TotalsView } from "./totals.js";
import { language, settings, token, wire } from "./wire.js";
import { firstWords } from "./words.js";

// Not awaited at the top of the module: modules that are loaded lazily share parts with this one.
void start();

/** Show the page, in the reader's language. */
async function start() {
  paint();
  await speak(language);

  const newChat = byId("new-chat", HTMLAnchorElement);
  const title = byId("title", HTMLElement);
  const bottom = new Bottom(byId("scroller", HTMLElement), byId("jump", HTMLButtonElement));
  const announcer = new Announcer(byId("announcer", HTMLElement));
  const menu = byId("menu", HTMLButtonElement);
  menu.append(icon("menu"));
  const drawer = new Drawer({
    shell: byId("shell", HTMLElement),
    side: byId("side", HTMLElement),
    chat: byId("chat", HTMLElement),
    scrim: byId("scrim", HTMLElement),
    button: menu,
  });

  const library = new Library(token);
  const sidebar = new Sidebar(byId("conversations", HTMLElement), library, {
    changed: () => conversation.draw(),
    removed: (id) => {
      if (id === conversation.id) leave("replace");
    },
  });

  const files = new Files((attachment) => wire.download(attachment));
  const composer = new Composer(
    (content, ifBusy) => conversation.send(content, ifBusy),
    () => conversation.stop(),
    {
      upload: (file, options) => wire.upload(file, options),
      maxBytes: () => wire.getSnapshot().welcome?.limits.max_blob_bytes,
      // It goes in a frame, with what else is in the message, and some characters take two there.
      maxTextBytes: () => (wire.getSnapshot().welcome?.limits.max_frame_bytes ?? 1_048_576) / 2,
      files,
    },
  );
  takeDrops(byId("chat", HTMLElement), (dropped) => composer.attach(dropped));

  const banner = new Banner(byId("banner", HTMLElement), {
    reconnect: () => wire.reconnect(),
    // Drafts and messages on their way are remembered: a reload loses nothing.
    restart: () => location.reload(),
    authorise: (token) => {
      remember("token", token);
      location.reload();
    },
  });
  /** @type {import("./panel.js").SettingsPanel | undefined} */
  let panel;
  const showSettings = () =>
    later(({ SettingsPanel }) => {
      panel ??= new SettingsPanel(settings, () => may(wire.getSnapshot().welcome, "system"));
      panel.open();
    });
  const openSettings = byId("open-settings", HTMLButtonElement);
  openSettings.prepend(icon("settings"));
  openSettings.addEventListener("click", showSettings);
  const choices = new ChoicesView(byId("options", HTMLElement), settings);
  settings.watch(() => {
    showAs(settings);
    sendWith(settings.get("send_key"));
    composer.hint(settings.get("send_key"));
  });

  const health = new Health(readiness, () => {
    drawBanner();
    if (!health.isBad) conversation.resend();
  });
  const totals = new TotalsView(byId("totals", HTMLElement));
  const demo = byId("demo", HTMLElement);
  const drawBanner = oncePerFrame(() => {
    const snapshot = wire.getSnapshot();
    banner.update(snapshot, health.isBad);
    choices.update(snapshot.welcome);
    const isDemo = snapshot.welcome?.demo ?? false;
    if (isDemo === demo.hidden) {
      demo.hidden = !isDemo;
      document.documentElement.toggleAttribute("data-demo", isDemo);
    }
  });
  let wasOpen = false;
  wire.subscribe(changed);

  let conversation = open(conversationInAddress());
  // It may be open already.
  changed();
  newChat.prepend(icon("plus"));
  byId("jump", HTMLButtonElement).prepend(icon("down"));

  function beginAnew() {
    if (conversation.id !== undefined) leave("push");
    composer.focus();
  }

  newChat.addEventListener("click", (event) => {
    // A click with a modifier opens another tab: the browser's business.
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    beginAnew();
  });

  /** @type {import("./help.js").HelpCard | undefined} */
  let card;
  const showHelp = () =>
    later(({ HelpCard }) => {
      card?.element.remove();
      card = new HelpCard(settings.get("send_key"));
      card.open();
    });
  new Shortcuts({
    newChat: beginAnew,
    search: () => {
      if (!drawer.isColumn) drawer.open();
      sidebar.search.focus();
      sidebar.search.select();
    },
    settings: showSettings,
    help: showHelp,
  });
  const openShortcuts = byId("open-shortcuts", HTMLButtonElement);
  openShortcuts.prepend(icon("keyboard"));
  openShortcuts.addEventListener("click", showHelp);

  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") refresh();
  });
  byId("conversations", HTMLElement).addEventListener("click", ({ target }) => {
    if (target instanceof HTMLAnchorElement) drawer.close();
  });

  addEventListener("popstate", () => {
    if (takeTokenAgain()) return;
    if (conversationInAddress() !== conversation.id) turnTo(conversationInAddress());
  });

  function changed() {
    drawBanner();
    const isOpen = wire.getSnapshot().state === "open";
    if (isOpen && !wasOpen) {
      // Much may have happened elsewhere while there was no connection.
      sidebar.refresh();
      void load();
    }
    wasOpen = isOpen;
  }

  /** Without a connection nobody would answer; the list is asked for again when there is one. */
  function refresh() {
    if (wire.getSnapshot().state === "open") sidebar.refresh();
  }

  /**
   * To a new chat.
   *
   * @param {"push" | "replace"} how
   */
  function leave(how) {
    setAddress(undefined, how);
    turnTo(undefined);
  }

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
    sidebar.mark(id);
    announcer.forget();
    return new OpenConversation(wire, id, {
      column: byId("transcript", HTMLElement),
      bottom,
      composer,
      announcer,
      files,
      named: (name) => {
        if (conversationInAddress() === name) return;
        setAddress(name, "replace");
        composer.rename(name);
        sidebar.mark(name);
      },
      moved: refresh,
      titleOf: (name) => library.title(name),
      health,
      totals,
      chosen: () => chosen(settings, wire.getSnapshot().welcome),
      titled: (about, isAsked) => {
        const name = firstWords(sidebar.title(conversationInAddress()) ?? about);
        setText(title, name || words.bar.newChat);
        const full = `${isAsked ? "● " : ""}${name ? `${name} – ` : ""}${BRAND.brand}`;
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
}
