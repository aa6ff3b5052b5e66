// The endpoint as the AI SDK's own documents write it: express, `streamText`, its stream of parts
// for pages (`toUIMessageStream`) as server-sent events.
import { createAnthropic } from "@ai-sdk/anthropic";
import { convertToModelMessages, streamText } from "ai";
import express from "express";

const anthropic = createAnthropic({
  apiKey: "bench",
  baseURL: `${process.env.ANTHROPIC_BASE_URL}/v1`,
});
const app = express();
app.use(express.json());
app.post("/v1/chat", async (request, response) => {
  const said = [{ role: "user", parts: [{ type: "text", text: request.body.message }] }];
  const result = streamText({
    model: anthropic("claude-bench"),
    messages: await convertToModelMessages(said),
  });
  result.pipeUIMessageStreamToResponse(response);
});
const server = app.listen(0, "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}`);
});
