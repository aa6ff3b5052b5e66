// Makes what the service serves of the sources: `node build.mjs <sources> <built>`, the second a new folder.
//
// What is in its folder page/ has a name with the hash of its content, so that a browser may keep it for good: the page's
// script with what it loads lazily, its style, its images, the licences of what others wrote. Beside it are index.html,
// which names these, and what is public under a name of its own, as it is: turnwire.js with its modules, and the icon.
// Whatever gets smaller lies there compressed, too (.br, .gz), because browsers take Brotli only over TLS.

import { createHash } from "node:crypto";
import { cp, mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { basename, dirname, extname, join, relative, resolve, sep } from "node:path";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";
import { build } from "esbuild";

const [sources, built] = process.argv.slice(2).map((path) => resolve(path));
const STYLE = "page.css";
const LINK = /^ *<link rel="stylesheet" href="([^"]+)">\n/gm;
const SCRIPT = /<script type="module" src="([^"]+)"><\/script>/;
const IMAGE = /(?<=(?:href|src)=")[\w/-]+\.(?:svg|png|ico|webp)(?=")/g;
const COMMENT = /^ *<!--.*?-->\n/gms;
const COMPRESSIBLE = new Set([".css", ".html", ".js", ".json", ".svg", ".txt", ".webmanifest"]);

const page = await readFile(join(sources, "index.html"), "utf8");
const styles = [...page.matchAll(LINK)].map(([, path]) => path);
const [, script] = page.match(SCRIPT) ?? [];
if (!script || !styles.length) throw new Error("index.html names no script or no style");

const { metafile, warnings } = await build({
  entryPoints: [{ in: join(sources, script), out: "page" }, STYLE],
  plugins: [{ name: "one style", setup: oneStyle }],
  bundle: true,
  splitting: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  loader: { ".svg": "file", ".woff2": "file" },
  entryNames: "[name]-[hash]",
  chunkNames: "[name]-[hash]",
  assetNames: "[name]-[hash]",
  absWorkingDir: dirname(sources),
  outdir: join(built, "page"),
  metafile: true,
  logLevel: "warning",
});
// Among them is that a module was left out.
if (warnings.length) throw new Error("a warning of esbuild's, above, is an error here");
/** Each output by its path below `built`, as the page writes it. */
const outputs = new Map(
  Object.entries(metafile.outputs).map(([path, output]) => [
    relative(built, resolve(dirname(sources), path)).split(sep).join("/"),
    output,
  ]),
);
const scriptOutput = nameOf((output) => output.entryPoint?.endsWith(script));
const styleOutput = nameOf((output, path) => output.entryPoint && path.endsWith(".css"));

let html = page.replace(COMMENT, "");
let isFirst = true;
html = html.replace(LINK, () => {
  const link = isFirst ? `    <link rel="stylesheet" href="${styleOutput}">\n` : "";
  isFirst = false;
  return link;
});
// What the script imports at once would otherwise be asked for only when the script has come.
const preloads = outputs
  .get(scriptOutput)
  .imports.filter(({ kind, external }) => kind === "import-statement" && !external)
  .map(({ path }) => relative(built, resolve(dirname(sources), path)).split(sep).join("/"))
  .map((path) => `<link rel="modulepreload" href="${path}">\n    `);
const licenses = await hashed("licenses.txt", await licensesOf(Object.keys(metafile.inputs)));
html = html.replace(
  SCRIPT,
  `${preloads.join("")}<script type="module" src="${scriptOutput}"></script>\n` +
    `    <link rel="license" href="${licenses}" type="text/plain">`,
);
for (const path of new Set(html.match(IMAGE))) {
  const image = await hashed(basename(path), await readFile(join(sources, path)));
  html = html.replaceAll(`"${path}"`, `"${image}"`);
}
await writeFile(join(built, "index.html"), html);

for (const entry of await readdir(sources, { withFileTypes: true })) {
  if (entry.name === "turnwire" || (entry.isFile() && entry.name !== "index.html")) {
    await cp(join(sources, entry.name), join(built, entry.name), { recursive: true });
  }
}
await Promise.all((await filesBelow(built)).map(compress));

/** The style sheets that the page names, in its order, are one. */
function oneStyle({ onResolve, onLoad }) {
  onResolve({ filter: new RegExp(`^${STYLE}$`) }, ({ path }) => ({ path, namespace: "style" }));
  onLoad({ filter: /.*/, namespace: "style" }, () => ({
    contents: styles.map((path) => `@import "./${path}";`).join("\n"),
    loader: "css",
    resolveDir: sources,
  }));
}

function nameOf(isIt) {
  const found = [...outputs].filter(([path, output]) => isIt(output, path));
  if (found.length !== 1) throw new Error(`${found.length} outputs for one entry`);
  return found[0][0];
}

/** Write a file whose name is that of its content; returns its path below `built`. */
async function hashed(name, content) {
  const hash = createHash("sha256").update(content).digest("hex").slice(0, 8).toUpperCase();
  const type = extname(name);
  const path = `page/${basename(name, type)}-${hash}${type}`;
  await mkdir(join(built, "page"), { recursive: true });
  await writeFile(join(built, path), content);
  return path;
}

/** Names, versions and licences of the packages that are in the bundle: those licences ask for that. */
async function licensesOf(inputs) {
  const folders = new Set();
  for (const input of inputs) {
    const [found] = input.match(/^.*node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/) ?? [];
    if (found) folders.add(resolve(dirname(sources), found));
  }
  const texts = ["The chat page of Turnwire is under the MIT licence. These packages are part of it:\n"];
  for (const folder of [...folders].sort()) {
    const { name, version, license } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
    const files = (await readdir(folder)).filter((file) => /^(?:licen[cs]e|notice|copying)/i.test(file)).sort();
    if (!files.length) throw new Error(`${name} has no file with its licence`);
    const words = await Promise.all(files.map((file) => readFile(join(folder, file), "utf8")));
    texts.push(`${name} ${version} (${license})\n\n${words.map((text) => text.trim()).join("\n\n")}\n`);
  }
  if (!folders.size) texts.push("none.\n");
  return texts.join(`\n${"-".repeat(78)}\n\n`);
}

async function filesBelow(folder) {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath ?? entry.path, entry.name));
}

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
