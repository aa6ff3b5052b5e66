import { Activity, StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { TurnwireProvider } from "turnwire/react";

import { Chat } from "./chat";

function App() {
  const [shown, show] = useState<"shown" | "hidden" | "gone">("shown");
  const id = new URLSearchParams(location.search).get("c") ?? undefined;
  return (
    <>
      <nav>
        <button onClick={() => show("shown")}>Show</button>
        <button onClick={() => show("hidden")}>Hide</button>
        <button onClick={() => show("gone")}>Leave</button>
      </nav>
      {shown !== "gone" && (
        <Activity mode={shown === "shown" ? "visible" : "hidden"}>
          <TurnwireProvider url="/">
            <Chat id={id} />
          </TurnwireProvider>
        </Activity>
      )}
    </>
  );
}

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
