"use client";

import type { ReactNode } from "react";
import { TurnwireProvider } from "turnwire/react";

/** The connection, whose token comes from the route handler, which knows who asks. */
export function Turnwire({ children }: { children: ReactNode }) {
  return (
    <TurnwireProvider url="/" token={fetchToken}>
      {children}
    </TurnwireProvider>
  );
}

async function fetchToken() {
  const response = await fetch("/api/token", { method: "POST" });
  if (!response.ok) throw new Error(`no token: HTTP ${response.status}`);
  return response.text();
}
