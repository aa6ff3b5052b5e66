import { CopilotChat, CopilotKitProvider, useFrontendTool, useInterrupt } from "@copilotkit/react-core/v2";
import "@copilotkit/react-core/v2/styles.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { z } from "zod";

function Chat() {
  useFrontendTool({
    name: "page_title",
    description: "The title of the page.",
    parameters: z.object({}),
    handler: async () => document.title,
  });
  useInterrupt({
    render: ({ event, interrupt, resolve }) => (
      <p role="alert">
        {interrupt?.message}
        <button onClick={() => resolve({ approved: true })}>Allow</button>
        <button onClick={() => resolve({ approved: false, reason: "not today" })}>Deny</button>
      </p>
    ),
  });
  return <CopilotChat threadId={new URLSearchParams(location.search).get("thread")} />;
}

createRoot(document.getElementById("root")).render(
  <StrictMode>
    <CopilotKitProvider runtimeUrl="/v1/ag-ui">
      <Chat />
    </CopilotKitProvider>
  </StrictMode>,
);
