// The token is in the server's environment, and in nothing that is built for the browser.
export function POST() {
  // Here stands who is signed in: your session, else status 401.
  return new Response(process.env["TURNWIRE_TOKEN"]);
}
