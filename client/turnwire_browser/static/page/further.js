/** What the page does without until it stands: the build makes one script of it. Only `later.js` loads it. */

export { HelpCard } from "./help.js";
export { SettingsPanel } from "./panel.js";
export { ToolView } from "./tool.js";
