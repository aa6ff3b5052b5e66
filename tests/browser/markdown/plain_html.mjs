// What a view shows as the HTML that specifications write: without what our view adds on purpose.

const BLOCK = "(?:p|h[1-6]|hr|ul|ol|li|blockquote|table|thead|tbody|tr|th|td|pre|details|summary|div)";

/** @param {any} node of dom.mjs @param {boolean} [isTight] whether it is an item of a tight list @returns {string} */
export function htmlOf(node, isTight = false) {
  if (!node.tagName) return node.html();
  const tag = node.tagName.toLowerCase();
  const isTightList = node.attributes.get("class") === "tight";
  const inner = node.children.map((/** @type {any} */ child) => htmlOf(child, tag === "li" ? isTight : isTightList)).join("");
  if (tag === "p" && node.parent?.tagName === "LI" && isTight) return `\n${inner}\n`; // its line ends fall away
  if (node.attributes.get("class") === "table" || node.attributes.get("class") === "scroll") return inner;
  const attributes = [...node.attributes]
    .filter(([name, value]) => !["rel", "target"].includes(name) && !["tight", "task"].includes(value))
    .map(([name, value]) => ` ${name}="${escape(value)}"`);
  const open = `<${tag}${attributes.sort().join("")}>`;
  return ["br", "hr", "input"].includes(tag) ? open : `${open}${inner}</${tag}>`;
}

/** @param {any} container @returns {string} */
export const shown = (container) => normal(container.children.map((/** @type {any} */ child) => htmlOf(child)).join(""));

/** @param {string} html of a specification @returns {string} with images as links, in our way of writing */
export function expected(html) {
  const images = html.replace(/<img src="([^"]*)" alt="([^"]*)"((?: title="[^"]*")?) \/>/g, (_, address, words, title, at) => {
    const before = html.slice(0, at);
    const isInLink = before.lastIndexOf("<a ") > before.lastIndexOf("</a>");
    return isInLink ? words || address : `<a href="${address}"${title}>${words || address}</a>`;
  });
  return normal(images.replaceAll(" />", ">").replace(/<(\w+)((?: [\w-]+="[^"]*")+)>/g, (_, tag, attributes) =>
    `<${tag}${(attributes.match(/ [\w-]+="[^"]*"/g) ?? []).sort().join("")}>`));
}

/** @param {string} html @returns {string} without the line ends around blocks, which mean nothing */
function normal(html) {
  return html
    .split(/(<pre>[^]*?<\/pre>)/)
    .map((part, i) => (i % 2 ? part : part.replace(new RegExp(`\\s*(</?${BLOCK}(?: [^>]*)?>)\\s*`, "g"), "$1").trim()))
    .join("")
    .replace(/<br>\s*/g, "<br>")
    .replace(/<tbody><\/tbody>/g, "")
    .replace(/\n+(?=<)|(?<=>)\n+/g, "\n");
}

/** @param {string} text */
const escape = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
