// The browser client under its public address, beside the page; its modules are in the folder turnwire/.
// Only this file is part of that promise. The npm package exports the folder's own turnwire.js.

export * from "./turnwire/turnwire.js";
