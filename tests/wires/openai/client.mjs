// OpenAI's own client for JavaScript, unchanged: runs all cases against the URL it is given and
// prints what came of each.
import OpenAI from "openai";

const [baseURL, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "anna", maxRetries: 0 });
const user = (content) => ({ role: "user", content });
const assistant = (content) => ({ role: "assistant", content });
const named = (name) => ({ headers: { "X-Conversation-Id": name } });

const text = async (messages, options, using = client) => {
  const completion = await using.chat.completions.create({ model, messages }, options);
  return completion.choices[0].message.content;
};

const failure = async (asking) => {
  try {
    await asking();
    return null;
  } catch (error) {
    return [error.constructor.name, error.status ?? null, error.code ?? null];
  }
};

const cases = {
  async streams() {
    const stream = client.chat.completions.stream({
      model,
      messages: [user("think")],
      stream_options: { include_usage: true },
    });
    let reasoning = "";
    for await (const chunk of stream) reasoning += chunk.choices[0]?.delta.reasoning_content ?? "";
    const { choices, usage } = await stream.finalChatCompletion();
    return [choices[0].message.content, reasoning, choices[0].finish_reason, usage.total_tokens > 0];
  },

  async runs_tools() {
    const asked = [];
    const weather = {
      type: "function",
      function: {
        name: "weather",
        description: "The weather of a city.",
        parameters: { type: "object", properties: { city: { type: "string" } } },
        parse: JSON.parse,
        function: ({ city }) => (asked.push(city), "25 degrees"),
      },
    };
    const texts = [];
    for (const options of [named("tools"), {}]) {
      const body = { model, messages: [user("Rome?")], tools: [weather], stream: true };
      texts.push(await client.chat.completions.runTools(body, options).finalContent());
    }
    return [texts, asked];
  },

  async regenerates_and_edits() {
    const options = named("edits");
    const first = await text([user("count")], options);
    const past = [user("count"), assistant(first)];
    return [
      first,
      await text([...past, user("count")], options),
      await text([...past, user("count")], options),
      await text([...past, user("count on")], options),
    ];
  },

  async asks_three_times_at_once() {
    // The answer is held until all three have begun to read: the third must not come after its end.
    let begun = 0;
    const asking = async () => {
      const messages = [user("count at once")];
      const stream = client.chat.completions.stream({ model, messages }, named("thrice"));
      for await (const chunk of stream) {
        if (chunk.choices[0]?.delta.content && chunk.choices[0].delta.content !== "!" && ++begun === 3) await text([user("let it go on")]);
      }
      return (await stream.finalChatCompletion()).choices[0].message.content;
    };
    return Promise.all([asking(), asking(), asking()]);
  },

  async loses_a_reply() {
    let lost = 0;
    const forgetful = new OpenAI({
      baseURL,
      apiKey: "anna",
      maxRetries: 2,
      fetch: async (...request) => {
        const response = await fetch(...request);
        await response.arrayBuffer();
        if (lost++ === 0) throw new TypeError("the connection was lost");
        return fetch(...request);
      },
    });
    return [await text([user("count a lost one")], named("lost"), forgetful), lost];
  },

  async is_refused() {
    const messages = [user("hi")];
    return [
      await failure(() => client.chat.completions.create({ model: "gpt-9", messages })),
      await failure(() => client.chat.completions.create({ model, messages, n: 2 })),
      await failure(() => new OpenAI({ baseURL, apiKey: "no" }).models.list()),
    ];
  },

  async fails_in_mid_stream() {
    let seen = "";
    const failed = await failure(async () => {
      const stream = await client.chat.completions.create({
        model,
        messages: [user("fail")],
        stream: true,
      });
      for await (const chunk of stream) seen += chunk.choices[0]?.delta.content ?? "";
    });
    return [seen, failed];
  },

  async stops() {
    const body = { model, messages: [user("stop")], stream: true };
    const stream = await client.chat.completions.create(body, named("stopped"));
    for await (const chunk of stream) {
      if (chunk.choices[0]?.delta.content) break;
    }
    return true;
  },

  async lists_models() {
    return (await client.models.list()).data.map(({ id }) => id);
  },
};

const outcomes = {};
for (const [name, run] of Object.entries(cases)) {
  try {
    outcomes[name] = await run();
  } catch (error) {
    outcomes[name] = `${error.stack}`;
  }
}
console.log(JSON.stringify(outcomes));
