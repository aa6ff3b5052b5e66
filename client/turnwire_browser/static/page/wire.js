/**
 * The page's connection, and its language, in a script of its own that comes first: what the page shows, and the words for it,
 * are on their way, and perhaps there, while the rest of the page still comes. On a bad line that is half a second.
 */

import { conversationInAddress, takeToken } from "./address.js";
import { LANGUAGES, languageFor } from "./languages.js";
import { Settings } from "./settings.js";
import { recall, remember } from "./storage.js";
import { offerTools } from "./tools.js";
import { connect } from "../turnwire/turnwire.js";

/** A screenful and more: older ones come as one scrolls to them. */
const LAST_TURNS = 20;

export const token = takeToken();
export const settings = new Settings();
export const language = settings.get("language") || languageFor(navigator.languages);
// `speak` will ask for them again; whoever asks first has them sent.
LANGUAGES[language]?.load?.().catch(() => {});

export const wire = connect(new URL("v1/ws", document.baseURI), { token, runner: recall("runner"), lastTurns: LAST_TURNS });
offerTools(wire);
// Its id is this tab's over a reload. While the tab is open it is not there for a duplicate to take.
addEventListener("pageshow", () => remember("runner", ""));
addEventListener("pagehide", () => remember("runner", wire.runner));

const id = conversationInAddress();
const needed = id === undefined ? wire : wire.conversation(id);
// Nobody listens yet; it stays connected, and followed.
needed.subscribe(() => {})();
