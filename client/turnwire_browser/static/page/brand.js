/** How the page presents itself, where whoever runs the server has said so. */

/**
 * @typedef {object} Brand
 * @property {string} brand its name
 * @property {string} [greeting] of an empty conversation
 * @property {string} [invitation] below it
 * @property {string} [accent] the colour of buttons and links, `#rrggbb`
 * @property {string} [accent_dark] the same on dark ground
 */

/** @type {Brand} */
export const BRAND = { brand: "Turnwire", ...told() };

/** What the server has put into index.html. @returns {Partial<Brand>} */
function told() {
  const meta = document.querySelector('meta[name="turnwire"]');
  return JSON.parse(meta?.getAttribute("content") ?? "{}");
}

/** Use its colours. */
export function paint() {
  const { accent, accent_dark = accent } = BRAND;
  if (!accent || !accent_dark) return;
  const { style } = document.documentElement;
  style.setProperty("--accent", `light-dark(${accent}, ${accent_dark})`);
  style.setProperty("--accent-ink", `light-dark(${inkOn(accent)}, ${inkOn(accent_dark)})`);
}

/**
 * The colour of letters on another: of black and white the one with more contrast.
 *
 * @param {string} colour `#rrggbb`
 */
export function inkOn(colour) {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
    const part = parseInt(colour.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  // Relative luminance (WCAG 2.2); at this one both have the same contrast.
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "#000000" : "#ffffff";
}
