// What the types promise to TypeScript people; nothing here runs. tsc fails where one of these is not so.
import {
  connect,
  TurnwireError,
  type Block,
  type ConversationSnapshot,
  type Event,
  type Reply,
  type Turn,
  type WireSnapshot,
} from "turnwire";
import { useClaudeStream, useTurnwire, useWire } from "turnwire/react";

type Same<One, Other> = (<T>() => T extends One ? 1 : 2) extends <T>() => T extends Other ? 1 : 2 ? true : false;

function holds<_Claim extends true>(): void {}

export function textOf(block: Block): string {
  switch (block.type) {
    case "text":
    case "thinking":
    case "compaction":
      return block.text;
    case "tool":
      // @ts-expect-error: a call has no text
      block.text;
      return `${block.tool_name} ${block.partial_json}`;
  }
}

export function followed(event: Event): string | undefined {
  return event.type === "token" ? event.text : undefined;
}

export async function ask(): Promise<Reply> {
  const wire = connect("/", { token: async () => "fetched" });
  wire.tool<{ city: string }>({
    name: "weather",
    description: "The weather.",
    input_schema: { type: "object", properties: { city: { type: "string" } } },
    run: (input, { signal, progress }) => {
      holds<Same<typeof input, { city: string }>>();
      progress("looking", 0.5);
      return signal.aborted ? undefined : { sun: input.city.length };
    },
  });
  wire.tool({
    name: "other",
    description: "Another one.",
    input_schema: {},
    run: (input) => {
      // @ts-expect-error: nothing is known of it
      return input["city"].length;
    },
  });
  // @ts-expect-error: a tool is described
  wire.tool({ name: "third", input_schema: {} });

  const chat = wire.conversation();
  holds<Same<ReturnType<typeof chat.getServerSnapshot>, Readonly<ConversationSnapshot>>>();
  holds<Same<ReturnType<typeof wire.getSnapshot>, Readonly<WireSnapshot>>>();
  const turn: Turn = await chat.send([{ type: "text", text: "Hello" }], { if_busy: "queue" });
  for await (const text of turn.textStream) console.log(text.length);
  try {
    return await turn.done;
  } catch (error) {
    if (error instanceof TurnwireError) console.error(error.code, error.retryable);
    throw error;
  }
}

export function useTypes(): void {
  const { id, turns, status, error, send, stop, regenerate, edit, decide, connection } = useTurnwire(null);
  holds<Same<typeof id, string | undefined>>();
  holds<Same<typeof status, "ready" | "submitted" | "streaming" | "error">>();
  const first = turns[0]?.blocks[0];
  if (first?.type === "tool") void decide(first.tool_id, "allow", { input: {} });
  void [send("Hello"), stop(), regenerate("t_1"), edit("t_1", "Hello"), useWire().reconnect()];
  holds<Same<typeof connection.state, "connecting" | "open" | "reconnecting" | "offline" | "closed">>();
  const { text, thinking, isStreaming } = useClaudeStream();
  holds<Same<typeof text, typeof thinking>>();
  console.log(isStreaming ? text : error?.code);
}
