"""The words of the demo; braces are filled in by it."""

__all__ = ["LONG_SECTION", "MARKDOWN", "RESULTS"]

MARKDOWN = """\
# Hello from the simulator

No model was asked: this text comes from **Turnwire's simulator**, a stand-in for the Claude API \
on your own machine. Everything between it and you is real. You said:

> {quote}

## What you can try

1. Press *Stop* while the words arrive, then send another message.
2. Open this conversation in a second tab and watch both.
3. Cut the network, and let it come back.

| say | and see |
|---|---|
| `long` | a long answer |
| `the weather in Paris` | a tool at work, and its result used |
| `send an email` | a call that waits for you to allow, change or deny it |
| `what time is it here?` | a tool that runs in your browser |
| `ask me something` | a question that you answer before the turn goes on |
| `search the web for Mars` | an answer with its sources |
| the name of a tool | the tool called |
| `refuse` | a refusal |

```python
def position(cursor, seq, span):
    # Where a reader stands after an event; None: something is missing, subscribe again.
    if seq <= cursor:
        return cursor  # seen before
    return seq if seq - span == cursor else None
```

With a key in `ANTHROPIC_API_KEY` the same page talks to Claude.
"""

LONG_SECTION = """
## Part {number}

A conversation is an append-only log of typed events, and every reader is a cursor over it. \
A reader that lags misses nothing: what waits for it merges, and the next read brings all of it \
at once. That is why a slow phone and a fast desktop show the same words in the end.

- The log is written *before* anything is delivered.
- A lost connection resumes at the next number.
- Whoever stops the answer stops it for everyone.
"""

RESULTS = """\
Here is what came back:

{lines}
That is all I needed to know.
"""
