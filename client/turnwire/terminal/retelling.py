"""What was said before, on the screen; knows the form of it, and no connection."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter

from rich.console import Console
from rich.text import Text

from turnwire.catalogue import ConversationHead
from turnwire.terminal.past import SaidBlock, SaidTurn
from turnwire.terminal.text import markdown, printable, source_line
from turnwire_protocol import Sources, StopReason, noted, text_of

__all__ = ["list_heads", "retell"]


def retell(console: Console, turns: Sequence[SaidTurn], *, has_older: bool) -> None:
    """Print the turns as they stand."""
    if has_older:
        console.print(Text("— what is older is left out: /export has all of it —", "dim"))
        console.print()
    for turn in turns:
        asked = printable(text_of(turn.get("content", ""))).replace("\n", "\n  ")
        console.print(Text(f"> {asked}", "bold"))
        sources = Sources()
        # Neighbouring texts are one: the model splits sentences where it cites.
        for type, blocks in groupby(turn["blocks"], key=itemgetter("type")):
            if type == "text":
                _print_text(console, blocks, sources)
            elif type == "tool":
                for block in blocks:
                    console.print(Text(printable(block.get("tool_name", "")), "cyan"))
        for source in sources:
            console.print(Text(source_line(source), "dim"))
        reason = turn["done"]["stop_reason"] if "done" in turn else turn["state"]
        if reason != StopReason.END_TURN:
            console.print(Text(printable(reason), "dim"))
        console.print()


def list_heads(console: Console, heads: Sequence[ConversationHead]) -> None:
    """Print the conversations, numbered from 1."""
    for number, head in enumerate(heads, 1):
        title = " ".join(printable(head.title).split()) or "(no title)"
        line = Text.assemble((f"{number:2} ", "bold"), title, " ", (head.updated_at[:10], "dim"))
        console.print(line)
    if not heads:
        console.print(Text("There is none.", "dim"))


def _print_text(console: Console, blocks: Iterable[SaidBlock], sources: Sources) -> None:
    # With a backslash: what follows in parentheses would make a link of it.
    text = "".join(
        noted(printable(each.get("text", "")), sources.numbers(each.get("citations")), r"\[{}]")
        for each in blocks
    )
    if text.strip():
        console.print(markdown(text))
