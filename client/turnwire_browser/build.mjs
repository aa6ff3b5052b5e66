// Makes what the service serves of the sources: `node build.mjs <sources> <built>`, the second a new folder.
//
// What is in its folder page/ has a name with the hash of its content, so that a browser may keep it for good: the page's
// scripts and what they load lazily, its style, its images, the licences of what others wrote. Beside it are index.html,
// which names these, and what is public under a name of its own, as it is: turnwire.js with its modules, and the icon.
// Whatever gets smaller lies there compressed, too (.br, .gz), because browsers take Brotli only over TLS.

import { createHash } from "node:crypto";
import { cp, mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { basename, dirname, extname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";
import { rolldown } from "rolldown";

const [sources, built] = process.argv.slice(2).map((path) => resolve(path));
const LINK = /^ *<link rel="stylesheet" href="([^"]+)">\n/gm;
const SCRIPT = /(?<=<script type="module" src=")[^"]+(?="><\/script>)/g;
const IMAGE = /(?<=(?:href|src)=")[\w/-]+\.(?:svg|png|ico|webp)(?=")/g;
const COMMENT = /^ *<!--.*?-->\n/gms;
const COMPRESSIBLE = new Set([".css", ".html", ".js", ".json", ".svg", ".txt", ".webmanifest"]);

await mkdir(join(built, "page"));
const page = await readFile(join(sources, "index.html"), "utf8");
const entries = page.match(SCRIPT) ?? [];

// What the class of markdown-it names, so that no bundler can leave it out, and static/markdown/grammar.js never calls: HTML,
// in and out, typography, and its own reading of addresses. It is a tenth of the page's script.
const UNUSED = {
  parts: new Map([
    // Plugins give it rules.
    ["renderer", "class { rules = {}; }"],
    ["rules_core/replacements", "() => {}"],
    ["rules_core/smartquotes", "() => {}"],
    ["rules_block/html_block", "() => false"],
    ["rules_inline/html_inline", "() => false"],
  ]),
  packages: new Map([
    ["mdurl", "export const parse = null, format = null, encode = null, decode = null;"],
    ["punycode.js", "export default null;"],
  ]),
};
const withoutUnused = {
  name: "without-unused",
  /** @param {string} id */
  resolveId: (id) => (UNUSED.packages.has(id) ? `\0${id}` : undefined),
  /** @param {string} id */
  load: (id) => UNUSED.packages.get(id.replace("\0", "")),
  /** @param {string} code @param {string} id */
  transform(code, id) {
    // Symbols (2,700 characters of ranges), which browsers know.
    if (/[\\/]uc\.micro[\\/]/.test(id)) return { code: code.replace(/^const S = .*;$/m, "const S = /\\p{S}/u;"), map: null };
    if (basename(id) !== "markdown-it.mjs") return;
    // Whole packages as objects, for plugins.
    return { code: [...UNUSED.parts].reduce(withoutPart, code).replace(/^var lib = {.*?};$/ms, "var lib = {};"), map: null };
  },
};

const bundle = await rolldown({
  plugins: [withoutUnused],
  input: Object.fromEntries(entries.map((entry) => [basename(entry, ".js"), join(sources, entry)])),
  cwd: dirname(sources),
  platform: "browser",
  resolve: { alias: { entities: join(sources, "markdown/entities.js") } },
  // What a part shares with a script comes from that script, not out of a third file.
  preserveEntrySignatures: "allow-extension",
  onwarn(warning) {
    throw new Error(warning.message);
  },
});
const { output } = await bundle.write({
  dir: join(built, "page"),
  format: "esm",
  minify: true,
  comments: { legal: false },
  hashCharacters: "hex",
  entryFileNames: "[name]-[hash].js",
  chunkFileNames: "[name]-[hash].js",
});
const scripts = new Map(output.filter(({ isEntry }) => isEntry).map(({ name, fileName }) => [name, fileName]));
// What scripts share with lazy parts is in a file of its own only where a script waits (`await`) at its top. It is named
// beside them: a browser would ask for it only when the script has come.
const further = new Set([...scripts.values()].flatMap(importsOf).filter((part) => ![...scripts.values()].includes(part)));
const modules = output.flatMap(({ moduleIds }) => moduleIds ?? []);
const licenses = await hashed("licenses.txt", await licensesOf(modules));

// In the page's order, which decides between rules.
const sheets = [...page.matchAll(LINK)].map(([, path]) => readFile(join(sources, path), "utf8"));
const style = await hashed("page.css", withoutComments((await Promise.all(sheets)).join("")));

let links = [
  `<link rel="license" href="${licenses}" type="text/plain">`,
  `<link rel="stylesheet" href="${style}">`,
  ...[...further].map((part) => `<link rel="modulepreload" href="page/${part}">`),
].map((link) => `    ${link}\n`).join("");
let html = page.replace(COMMENT, "").replace(SCRIPT, (entry) => `page/${scripts.get(basename(entry, ".js"))}`);
html = html.replace(LINK, () => {
  const written = links;
  links = "";
  return written;
});
for (const path of new Set(html.match(IMAGE))) {
  const image = await hashed(basename(path), await readFile(join(sources, path)));
  html = html.replaceAll(`"${path}"`, `"${image}"`);
}
await writeFile(join(built, "index.html"), html);

for (const file of await readdir(sources, { withFileTypes: true })) {
  if (file.name === "turnwire" || (file.isFile() && file.name !== "index.html")) {
    await cp(join(sources, file.name), join(built, file.name), { recursive: true });
  }
}
await Promise.all((await filesBelow(built)).map(compress));

/** @param {string} fileName of a script @returns {string[]} those that it imports at once, and those that they do */
function importsOf(fileName) {
  const { imports } = output.find((chunk) => chunk.fileName === fileName);
  return imports.flatMap((part) => [part, ...importsOf(part)]);
}

/**
 * @param {string} code as markdown-it's own build joins its modules
 * @param {[string, string]} part a module's path, and what is to stand for each function in it
 * @returns {string}
 */
function withoutPart(code, [part, nothing]) {
  const [whole = ""] = code.match(new RegExp(`//#region src/${part}\\.ts\\n.*?//#endregion`, "s")) ?? [];
  const names = [...whole.matchAll(/^(?:var|const|let|function|class) ([\w$]+)/gm)].map(([, name]) => name);
  if (!names.length) throw new Error(`markdown-it has no ${part} any more: look again at what is unused of it`);
  return code.replace(whole, () => names.map((name) => `var ${name} = ${nothing};`).join("\n"));
}

/** @param {string} css of which no string has a comment's signs in it */
function withoutComments(css) {
  return css.replace(/\/\*.*?\*\//gs, "").replace(/^\s+/gm, "");
}

/**
 * Write a file whose name is that of its content.
 *
 * @param {string} name
 * @param {string | Buffer} content
 * @returns {Promise<string>} its path below `built`
 */
async function hashed(name, content) {
  const hash = createHash("sha256").update(content).digest("hex").slice(0, 8);
  const type = extname(name);
  const path = `page/${basename(name, type)}-${hash}${type}`;
  await writeFile(join(built, path), content);
  return path;
}

/**
 * Names, versions and licences of the packages in the bundle: their licences ask for that.
 *
 * @param {string[]} modules their paths
 */
async function licensesOf(modules) {
  const folders = new Set();
  for (const path of modules) {
    const [folder] = path.match(/^.*[\\/]node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+(?=[\\/])/) ?? [];
    if (folder) folders.add(folder);
  }
  const texts = ["The chat page of Turnwire is under the MIT licence. These packages are part of it:\n"];
  for (const folder of [...folders].sort()) {
    const { name, version, license, author } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
    const files = (await readdir(folder)).filter((file) => /^(?:licen[cs]e|notice|copying)/i.test(file)).sort();
    const words = await Promise.all(files.map((file) => readFile(join(folder, file), "utf8")));
    if (!files.length) {
      if (!license) throw new Error(`${name} has no licence`);
      words.push(`Its package has no more words on that. Author: ${author?.name ?? author ?? "not named"}`);
    }
    texts.push(`${name} ${version} (${license})\n\n${words.map((text) => text.trim()).join("\n\n")}\n`);
  }
  if (!folders.size) texts.push("none.\n");
  return texts.join(`\n${"-".repeat(78)}\n\n`);
}

/** @param {string} folder */
async function filesBelow(folder) {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath ?? entry.path, entry.name));
}

/** @param {string} path */
async function compress(path) {
  if (!COMPRESSIBLE.has(extname(path))) return;
  const content = await readFile(path);
  const made = {
    br: await promisify(brotliCompress)(content, { params: { [constants.BROTLI_PARAM_SIZE_HINT]: content.length } }),
    gz: await promisify(gzip)(content, { level: 9 }),
  };
  for (const [type, bytes] of Object.entries(made)) {
    if (bytes.length < content.length) await writeFile(`${path}.${type}`, bytes);
  }
}
