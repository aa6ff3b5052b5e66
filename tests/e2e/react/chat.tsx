"use client";

// A chat as somebody writes it for a page of his own, with everything the hooks have.
import { useEffect, useState } from "react";
import type { Block, FoldedTurn, ToolBlock } from "turnwire";
import { useClaudeStream, useTurnwire, type UseTurnwire } from "turnwire/react";

export function Chat({ id }: { id?: string | undefined }) {
  const chat = useTurnwire(id);
  const [text, setText] = useState("");
  const isBusy = chat.status === "submitted" || chat.status === "streaming";
  useEffect(() => {
    // So that the page, loaded again, goes on with it.
    if (chat.id) history.replaceState(null, "", `?c=${chat.id}`);
  }, [chat.id]);
  return (
    <main>
      <p>
        <output>{chat.status}</output> · <span className="state">{chat.state}</span> ·{" "}
        <span className="connection">{chat.connection.state}</span>
      </p>
      {chat.turns.map((turn) => (
        <Turn key={turn.turn} turn={turn} chat={chat} onEdit={() => chat.edit(turn.turn, text)} />
      ))}
      {chat.error && <p role="alert">{chat.error.code}</p>}
      <form
        onSubmit={async (event) => {
          event.preventDefault();
          if (await chat.send(text)) setText("");
        }}
      >
        <input aria-label="Message" value={text} onChange={(event) => setText(event.target.value)} />
        <button type="submit">Send</button>
        {isBusy && (
          <button type="button" onClick={chat.stop}>
            Stop
          </button>
        )}
      </form>
      {chat.id && <Newest id={chat.id} />}
    </main>
  );
}

function Turn({ turn, chat, onEdit }: { turn: FoldedTurn; chat: UseTurnwire; onEdit: () => void }) {
  return (
    <article data-state={turn.state}>
      <h2>{typeof turn.content === "string" ? turn.content : "…"}</h2>
      {turn.blocks.map((block) => (
        <BlockView key={block.block} block={block} decide={chat.decide} />
      ))}
      {turn.done && (
        <footer>
          <span className="end">{turn.done.stop_reason}</span>{" "}
          <button onClick={() => chat.regenerate(turn.turn)}>Regenerate</button>{" "}
          <button onClick={onEdit}>Edit</button>
        </footer>
      )}
    </article>
  );
}

function BlockView({ block, decide }: { block: Block; decide: UseTurnwire["decide"] }) {
  if (block.type === "thinking") return <p className="thinking">{block.text}</p>;
  if (block.type === "text") return <p className="text">{block.text}</p>;
  if (block.type === "compaction") return <p className="note">What was said before is summarised from here on.</p>;
  return <Call call={block} decide={decide} />;
}

function Call({ call, decide }: { call: ToolBlock; decide: UseTurnwire["decide"] }) {
  return (
    <section aria-label={call.tool_name}>
      {call.tool_name} {JSON.stringify(call.input ?? {})}{" "}
      {call.state === "waiting" && !call.decision ? (
        <>
          <button onClick={() => decide(call.tool_id, "allow")}>Allow</button>
          <button onClick={() => decide(call.tool_id, "deny", { reason: "no" })}>Deny</button>
        </>
      ) : (
        <span className="call-state">{call.decision ?? call.state}</span>
      )}
    </section>
  );
}

/** Another component on the same conversation: the newest answer only. */
function Newest({ id }: { id: string }) {
  const { text, thinking, isStreaming } = useClaudeStream(id);
  return (
    <aside data-streaming={isStreaming}>
      <p className="newest-thinking">{thinking}</p>
      <p className="newest">{text}</p>
    </aside>
  );
}
