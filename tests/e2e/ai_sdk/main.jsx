// A chat page as the AI SDK's documents show it, with nothing of ours in it but addresses.
import { useChat } from "@ai-sdk/react";
import {
  DefaultChatTransport,
  WebSocketChatTransport,
  lastAssistantMessageIsCompleteWithApprovalResponses,
} from "ai";
import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";

const api = "/v1/ai-sdk/v7/chat";
const { id, over } = Object.fromEntries(new URLSearchParams(location.search));
const transport =
  over === "ws"
    ? new WebSocketChatTransport({ url: "/v1/ai-sdk/ws" })
    : new DefaultChatTransport({ api });
const begins = await (await fetch(`${api}/${id}/messages`)).json();

function Part({ part, decide }) {
  if (part.type === "text") return <p className="text">{part.text}</p>;
  if (part.type === "reasoning") return <p className="reasoning">{part.text}</p>;
  if (!part.type.startsWith("tool-")) return null;
  return (
    <div className="tool">
      <b>{part.type.slice("tool-".length)}</b> <code>{JSON.stringify(part.input)}</code>{" "}
      <i className="state">{part.state}</i>
      {part.state === "approval-requested" &&
        [true, false].map(approved => (
          <button key={approved} onClick={() => decide({ id: part.approval.id, approved })}>
            {approved ? "Allow" : "Deny"}
          </button>
        ))}
      {part.output !== undefined && <pre>{JSON.stringify(part.output)}</pre>}
    </div>
  );
}

function Chat() {
  const [text, setText] = useState("");
  const chat = useChat({
    id,
    transport,
    messages: begins.messages,
    resume: begins.activeStreamId !== null,
    sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses,
  });
  const isBusy = chat.status === "submitted" || chat.status === "streaming";
  const stop = () =>
    over === "ws" ? chat.stop() : fetch(`${api}/${id}/stop`, { method: "POST" });
  return (
    <main>
      {chat.messages.map(message => (
        <article key={message.id} className={message.role}>
          {message.parts.map((part, index) => (
            <Part key={index} part={part} decide={chat.addToolApprovalResponse} />
          ))}
        </article>
      ))}
      {chat.error && <p role="alert">{chat.error.message}</p>}
      <form
        onSubmit={event => {
          event.preventDefault();
          chat.sendMessage({ text });
          setText("");
        }}
      >
        <input aria-label="Message" value={text} onChange={event => setText(event.target.value)} />
        {isBusy && (
          <button type="button" onClick={stop}>
            Stop
          </button>
        )}
        <output>{chat.status}</output>
      </form>
    </main>
  );
}

createRoot(document.getElementById("root")).render(
  <StrictMode>
    <Chat />
  </StrictMode>,
);
