// Turnwire under the app's own address: HTTP and WebSocket.
import { dirname } from "node:path";

export default {
  rewrites: () => [{ source: "/v1/:path*", destination: `${process.env.SERVICE}/v1/:path*` }],
  // Only where the packages lie above the app's folder, as in these tests.
  turbopack: { root: dirname(import.meta.dirname) },
};
