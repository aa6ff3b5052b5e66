// The page and the service under one address, as behind any proxy.
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [react()],
  // With React's checks: only so does StrictMode mount everything twice.
  mode: "development",
  build: { minify: false },
  preview: { proxy: { "/v1": { target: process.env["SERVICE"] ?? "", ws: true } } },
});
