// What a server says in place of a script of the page that another version of it has: while servers are updated one by one, a page
// may come from one of before, and its scripts be asked of one of after. The page of now is loaded instead; what is being written
// is remembered. Where both versions take turns, that may take a few times, and is not tried for ever.

const TRIES = 6;
const NAME = "turnwire.outdated"; // Forgotten once all of the page is there (page/later.js).

const tries = Number(sessionStorage.getItem(NAME)) + 1;
sessionStorage.setItem(NAME, String(tries));
if (tries > TRIES) throw new Error("This page is of another version than the server: load it again later.");
setTimeout(() => location.reload(), 100 * 2 ** tries);
// Whoever has imported this goes on with the next page.
await new Promise(() => {});

export {};
