import { Activity, StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { TurnwireProvider } from "turnwire/react";

import { Chat } from "./chat";

function App() {
  const [shown, show] = useState<"shown" | "hidden" | "gone">("shown");
  const [, render] = useState(0);
  // As the page was loaded: a new conversation stays one whose id is not given.
  const [id] = useState(() => new URLSearchParams(location.search).get("c") ?? undefined);
  return (
    <>
      <nav>
        <button onClick={() => show("shown")}>Show</button>
        <button onClick={() => show("hidden")}>Hide</button>
        <button onClick={() => show("gone")}>Leave</button>
        <button onClick={() => render((count) => count + 1)}>Render again</button>
      </nav>
      {shown !== "gone" && (
        <Activity mode={shown === "shown" ? "visible" : "hidden"}>
          {/* Another function at each rendering. */}
          <TurnwireProvider url="/" token={async () => "a-token-of-the-server"}>
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
