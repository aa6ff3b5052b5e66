// Turnwire below /ai of an app. Compression is as it is by default: on.
import { dirname } from "node:path";

export default {
  rewrites: () => [{ source: "/ai/:path*", destination: `${process.env.SERVICE}/:path*` }],
  turbopack: { root: dirname(import.meta.dirname) },
};
