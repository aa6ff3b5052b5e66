// A page of assistant-ui's own parts over its own runtime, with nothing of ours in it but addresses.
import {
  ActionBarPrimitive,
  AssistantRuntimeProvider,
  AuiConfig,
  AuiIf,
  ComposerPrimitive,
  ErrorPrimitive,
  MessagePrimitive,
  ThreadPrimitive,
  Tools,
} from "@assistant-ui/react";
import { AssistantChatTransport, useChatRuntime } from "@assistant-ui/react-ai-sdk";
import {
  lastAssistantMessageIsCompleteWithApprovalResponses,
  lastAssistantMessageIsCompleteWithToolCalls,
} from "ai";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

const api = "/v1/ai-sdk/v7/chat";
const id = new URLSearchParams(location.search).get("id");

// Without an id of ours in its address the page is a new chat each time that it is loaded.
const chat = id === null ? { transport: new AssistantChatTransport({ api }) } : await kept(id);

/** A chat that a page which is loaded again finds again. */
async function kept(id) {
  const { messages, activeStreamId } = await (await fetch(`${api}/${id}/messages`)).json();
  const storage = { getStreamId: () => activeStreamId, setStreamId() {}, clear() {} };
  const transport = new AssistantChatTransport({
    api,
    prepareSendMessagesRequest: ({ body, messages, trigger, messageId }) => ({
      body: { ...body, id, messages, trigger, messageId },
    }),
    resumable: { storage, resumeApi: `${api}/${id}/stream` },
  });
  return { transport, messages, toCreateMessage };
}

/** An edit keeps the id of the message that it replaces; assistant-ui's own has another. */
function toCreateMessage({ sourceId, role, content, attachments = [] }) {
  const files = attachments.flatMap(({ content, contentType, name }) =>
    content.map(part => ({
      type: "file",
      url: part.image ?? part.data,
      mediaType: contentType,
      filename: name,
    })),
  );
  return { id: sourceId ?? undefined, role, parts: [...content, ...files] };
}

const toolkit = {
  page_title: {
    type: "frontend",
    description: "The title of the page.",
    parameters: { type: "object", properties: {} },
    execute: async () => document.title,
  },
};

function Call({ toolName, argsText, status, result, approval, respondToApproval }) {
  const isAsked = approval !== undefined && approval.approved === undefined;
  return (
    <div className="tool">
      <b>{toolName}</b> <code>{argsText}</code> <i className="state">{status.type}</i>
      {isAsked &&
        [true, false].map(approved => (
          <button key={approved} onClick={() => respondToApproval({ approved })}>
            {approved ? "Allow" : "Deny"}
          </button>
        ))}
      {result !== undefined && <pre>{JSON.stringify(result)}</pre>}
    </div>
  );
}

const parts = {
  Text: ({ text }) => <p className="text">{text}</p>,
  Reasoning: ({ text }) => <p className="reasoning">{text}</p>,
  tools: { Fallback: Call },
};

const messages = {
  UserMessage: () => (
    <MessagePrimitive.Root asChild>
      <article className="user">
        <MessagePrimitive.Attachments>
          {({ attachment }) => <span className="file">{attachment.name}</span>}
        </MessagePrimitive.Attachments>
        <MessagePrimitive.Parts components={parts} />
        <ActionBarPrimitive.Root>
          <ActionBarPrimitive.Edit>Edit</ActionBarPrimitive.Edit>
        </ActionBarPrimitive.Root>
      </article>
    </MessagePrimitive.Root>
  ),
  UserEditComposer: () => (
    <ComposerPrimitive.Root>
      <ComposerPrimitive.Input aria-label="Other words" />
      <ComposerPrimitive.Cancel>Cancel</ComposerPrimitive.Cancel>
      <ComposerPrimitive.Send>Save</ComposerPrimitive.Send>
    </ComposerPrimitive.Root>
  ),
  AssistantMessage: () => (
    <MessagePrimitive.Root asChild>
      <article className="assistant">
        <MessagePrimitive.Parts components={parts} />
        <MessagePrimitive.Error>
          <ErrorPrimitive.Root>
            <ErrorPrimitive.Message />
          </ErrorPrimitive.Root>
        </MessagePrimitive.Error>
        <ActionBarPrimitive.Root hideWhenRunning>
          <ActionBarPrimitive.Reload>Again</ActionBarPrimitive.Reload>
        </ActionBarPrimitive.Root>
      </article>
    </MessagePrimitive.Root>
  ),
};

/** assistant-ui's Cancel only hangs up: this is what stops the answer. */
const stop = () => id !== null && fetch(`${api}/${id}/stop`, { method: "POST" });

function Chat() {
  const runtime = useChatRuntime({
    ...chat,
    sendAutomaticallyWhen: given =>
      lastAssistantMessageIsCompleteWithToolCalls(given) ||
      lastAssistantMessageIsCompleteWithApprovalResponses(given),
  });
  return (
    <AssistantRuntimeProvider runtime={runtime} config={config}>
      <ThreadPrimitive.Root>
        <ThreadPrimitive.Viewport>
          <ThreadPrimitive.Messages components={messages} />
          <ComposerPrimitive.Root>
            <ComposerPrimitive.AddAttachment>Attach</ComposerPrimitive.AddAttachment>
            <ComposerPrimitive.Attachments>
              {({ attachment }) => <span className="attached">{attachment.name}</span>}
            </ComposerPrimitive.Attachments>
            <ComposerPrimitive.Input aria-label="Message" />
            <AuiIf condition={({ thread }) => thread.isRunning}>
              <ComposerPrimitive.Cancel onClick={stop}>Stop</ComposerPrimitive.Cancel>
            </AuiIf>
            <AuiIf condition={({ thread }) => !thread.isRunning}>
              <ComposerPrimitive.Send>Send</ComposerPrimitive.Send>
            </AuiIf>
          </ComposerPrimitive.Root>
        </ThreadPrimitive.Viewport>
      </ThreadPrimitive.Root>
    </AssistantRuntimeProvider>
  );
}

const config = AuiConfig({ tools: Tools({ toolkit }) });

createRoot(document.getElementById("root")).render(
  <StrictMode>
    <Chat />
  </StrictMode>,
);
