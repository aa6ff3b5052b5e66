/** How the page looks, as the user has set it: colours, and whether tokens and costs are shown. */

/** @typedef {import("./settings.js").Settings} Settings */

/** @param {Settings} settings */
export function showAs(settings) {
  const root = document.documentElement;
  const theme = settings.get("theme");
  // The style sheets have each colour twice, and take the one of the colour scheme.
  root.style.colorScheme = theme === "system" ? "" : theme;
  root.dataset.usage = settings.get("usage");
  const { backgroundColor } = getComputedStyle(document.body);
  for (const meta of document.querySelectorAll('meta[name="theme-color"]')) {
    meta.setAttribute("content", backgroundColor);
  }
}
