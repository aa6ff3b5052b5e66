"""Typing to `turnwire chat`: on a terminal of its own, which is emulated."""

from pathlib import Path

import pytest

from tests.client.program import Screen
from tests.kit.scripted_server import AT, CONVERSATION, Frame, Peer, ScriptedServer, answer, done
from turnwire.terminal.commands import complete

UP, LEFT, RIGHT, HOME = "\x1b[A", "\x1b[D", "\x1b[C", "\x1b[H"


async def answered(peer: Peer, *texts: str, turn: str = "t_1", first: int = 1) -> Frame:
    """Answers one `send`; returns it."""
    while (command := await peer.receive())["type"] != "send":
        assert command["type"] == "unsubscribe"  # The turn before is over.
    await peer.ack_send(command, turn=turn, seq=first)
    await peer.send(*answer(*texts, turn=turn, first=first))
    return command


async def leaves(screen: Screen) -> None:
    """At the prompt, Ctrl-D ends the program."""
    await screen.prompts()
    screen.type("\x04")
    assert await screen.ended() == 0


async def test_it_greets_with_the_service_and_who_answers(server: ScriptedServer) -> None:
    screen = await Screen.open(server.url)
    await screen.prompts()
    assert screen.lines[0] == f"Turnwire at {server.url} · claude-test"
    assert "/help" in screen.lines[1]
    await leaves(screen)


async def test_the_prompt_needs_nothing_that_only_an_answer_needs(
    server: ScriptedServer, tmp_path: Path
) -> None:
    # How long a start takes is measured elsewhere; what is imported decides it.
    told = tmp_path / "modules"
    write = f"open({str(told)!r}, 'w').write(' '.join(sys.modules))"
    before = f"import atexit, sys; atexit.register(lambda: {write}); "
    screen = await Screen.open(server.url, before=before)
    await leaves(screen)
    modules = {*told.read_text().split()}
    assert "prompt_toolkit" in modules
    drawing = {"rich", "turnwire.terminal.display", "turnwire.terminal.questions"}
    assert modules & (drawing | {"httpx2", "markdown_it", "turnwire_protocol.schema"}) == set()


async def test_three_pasted_lines_are_one_message(server: ScriptedServer) -> None:
    screen = await Screen.open(server.url)
    await screen.prompts()
    screen.paste("one\rtwo\rthree")
    await screen.prompts("  three")
    screen.type("\r")
    command = await answered(await server.peer(), "Three lines.")
    assert command["content"] == "one\ntwo\nthree"
    await screen.sees("4 out")
    await leaves(screen)


async def test_a_line_is_edited_with_the_arrow_keys_and_alt_enter(server: ScriptedServer) -> None:
    screen = await Screen.open(server.url)
    await screen.prompts()
    screen.type(f"ac{LEFT}b{RIGHT}d{HOME}>\x1b[F\x1b\rnext\r")
    command = await answered(await server.peer(), "Yes.")
    assert command["content"] == ">abcd\nnext"
    await leaves(screen)


async def test_what_was_said_comes_again_in_the_next_program(
    server: ScriptedServer, tmp_path: Path
) -> None:
    first = await Screen.open(server.url, home=tmp_path)
    await first.prompts()
    first.type("remember\r")
    await answered(await server.peer(), "Yes.")
    await leaves(first)
    assert (tmp_path / "turnwire" / "chat_history").stat().st_mode & 0o077 == 0
    second = await Screen.open(server.url, home=tmp_path)
    await second.prompts()
    second.type(f"{UP}\r")
    command = await answered(await server.peer(), "Again.")
    assert command["content"] == "remember"
    await leaves(second)


async def test_wide_characters_and_a_narrow_terminal(server: ScriptedServer) -> None:
    said = "日本語の文章をとても狭い端末で読みます。これは二行になります。"
    screen = await Screen.open(server.url, columns=34)
    await screen.prompts()
    screen.type(f"日本{LEFT}x\r")
    command = await answered(await server.peer(), said)
    assert command["content"] == "日x本"
    await leaves(screen)
    # pyte has an empty cell behind each wide one.
    assert said in "".join("".join(screen.lines).split())


async def test_what_is_typed_during_an_answer_is_the_next_message(server: ScriptedServer) -> None:
    screen = await Screen.open(server.url)
    await screen.prompts()
    screen.type("Hi\r")
    peer = await server.peer()
    await peer.ack_send(await peer.receive("send"))
    frames = answer("Slowly.", " More.")
    await peer.send(*frames[:4])
    await screen.sees("Slowly.")
    screen.paste("a\rb")
    screen.type("\rhalf")
    await peer.send(frames[4])
    await screen.looks(lambda lines: "Slowly. More." in lines)
    # Not in the middle of the answer.
    assert "half" not in screen.shown
    await peer.send(*frames[5:])
    command = await answered(peer, "Both.", turn="t_2", first=8)
    assert command["content"] == "a\nb"
    await screen.prompts("> half")
    screen.type("\x03")
    await leaves(screen)


async def test_what_was_typed_before_a_question_is_no_answer_to_it(server: ScriptedServer) -> None:
    screen = await Screen.open(server.url)
    await screen.prompts()
    screen.type("Hi\r")
    peer = await server.peer()
    await peer.ack_send(await peer.receive("send"))
    await peer.send(*answer("Wait.")[:4])
    await screen.sees("Wait.")
    screen.type("y\r")
    place = {"conversation": CONVERSATION, "turn": "t_1", "at": AT}
    call = {"tool_id": "u1", "tool_name": "erase", "input": {}, "expires_at": AT}
    await peer.send({"type": "tool_approval", "seq": 5, **place, **call})
    await screen.prompts("Allow it? [y]es, [n]o, [e]dit its input: ")
    screen.type("n\r")
    await screen.prompts("Why not? (may be empty) ")
    screen.type("\r")
    command = await peer.receive("decide")
    assert command["decision"] == "deny"
    await peer.ack(command)
    await peer.send({**place, "seq": 6, **done()})
    command = await answered(peer, "Yes.", turn="t_2", first=7)
    assert command["content"] == "y"
    await leaves(screen)


async def test_what_was_typed_is_no_answer_beside_a_call_that_needs_none(
    server: ScriptedServer,
) -> None:
    screen = await Screen.open(server.url, "--allow", "read")
    await screen.prompts()
    screen.type("Hi\r")
    peer = await server.peer()
    await peer.ack_send(await peer.receive("send"))
    await peer.send(*answer("Wait.")[:4])
    await screen.sees("Wait.")
    place = {"conversation": CONVERSATION, "turn": "t_1", "at": AT}
    call = {"tool_name": "erase", "input": {}, "expires_at": AT}
    read = {"tool_id": "u0", **call, "tool_name": "read"}
    screen.type("y\r")
    await peer.send({"type": "tool_approval", "seq": 5, **place, **read})
    # Its decision is taken late: the questions come and go before.
    allowed = await peer.receive("decide")
    assert (allowed["tool_id"], allowed["decision"]) == ("u0", "allow")
    for tool_id, seq in (("u1", 6), ("u2", 8)):
        asked = {"type": "tool_approval", "seq": seq, **place, "tool_id": tool_id, **call}
        await peer.send(asked)
        await screen.prompts("Allow it? [y]es, [n]o, [e]dit its input: ")
        screen.type("n\r")
        await screen.prompts("Why not? (may be empty) ")
        screen.type(f"not {tool_id}\r")
        command = await peer.receive("decide")
        assert (command["tool_id"], command["decision"]) == (tool_id, "deny")
        await peer.ack(command)
        decided = {"tool_id": tool_id, "decision": "deny", "reason": f"not {tool_id}"}
        await peer.send({"type": "tool_decision", "seq": seq + 1, **place, **decided})
        await screen.sees(f"denied: not {tool_id}")
        screen.type(f"y {tool_id}\r")
    await peer.ack(allowed)
    await peer.send({**place, "seq": 10, **done()})
    for number, content in enumerate(("y", "y u1", "y u2")):
        command = await answered(peer, "Yes.", turn=f"t_{number + 2}", first=11 + 6 * number)
        assert command["content"] == content
    await leaves(screen)


async def test_ctrl_c_takes_back_the_line_and_on_an_empty_one_leaves(
    server: ScriptedServer,
) -> None:
    screen = await Screen.open(server.url)
    await screen.prompts()
    screen.type("half")
    await screen.prompts("> half")
    screen.type("\x03")
    await screen.prompts()
    screen.type("\x03")
    assert await screen.ended() == 0


async def test_ctrl_c_during_an_answer_stops_it(server: ScriptedServer) -> None:
    screen = await Screen.open(server.url)
    await screen.prompts()
    screen.type("Hi\r")
    peer = await server.peer()
    await peer.ack_send(await peer.receive("send"))
    await peer.send(*answer("Half a")[:4])
    await screen.sees("Half a")
    screen.type("\x03")
    command = await peer.receive("cancel")
    await peer.ack(command, turn="t_1", outcome="cancelling")
    await peer.send({**answer()[-1], "seq": 5, **done("cancelled")})
    await screen.sees("cancelled")
    await leaves(screen)


async def test_an_unknown_command_does_not_go_to_the_model(server: ScriptedServer) -> None:
    screen = await Screen.open(server.url)
    await screen.prompts()
    screen.type("/nonsense for you\r")
    await screen.sees("There is no /nonsense")
    await screen.prompts()
    screen.type("/help\r")
    await screen.sees("/export FILE")
    await screen.prompts()
    screen.type(" /nonsense\r")
    command = await answered(await server.peer(), "Said.")
    assert command["content"] == " /nonsense"
    await screen.prompts()
    screen.type("/quit\r")
    assert await screen.ended() == 0


async def test_a_command_is_completed_and_a_model_chosen(server: ScriptedServer) -> None:
    screen = await Screen.open(server.url)
    await screen.prompts()
    screen.type("/model other\r")
    await screen.sees("other is not served here: claude-test")
    await screen.prompts()
    screen.type("/mo\t")
    await screen.prompts("> /model ")
    screen.type("cl\t")
    await screen.prompts("> /model claude-test")
    screen.type("\r")
    await screen.sees("* claude-test")
    await screen.prompts()
    screen.type("Hi\r")
    command = await answered(await server.peer(), "Yes.")
    assert (command["content"], command["model"]) == ("Hi", "claude-test")
    await leaves(screen)


@pytest.mark.parametrize(
    "typed",
    [
        "/export ~nobody.of.this.name/a.md",
        "/attach ~nobody.of.this.name/a.png",
        "/attach a\x11\x00.png",
        f"/open {'9' * 4400}",
        "/open \udcff",
        "/list \udcff",
    ],
)
async def test_what_cannot_be_is_told_and_the_prompt_comes_again(
    server: ScriptedServer, typed: str
) -> None:
    screen = await Screen.open(server.url)
    await screen.prompts()
    screen.type(f"{typed}\r")
    await screen.sees("Error:")
    await leaves(screen)


def test_a_name_that_nobody_has_is_completed_by_nothing() -> None:
    for typed in ("/attach ~nobody.of.this.name/", "/export a\0b/c"):
        assert complete(typed, models=()) == ("", ())


async def test_a_message_that_is_too_long_ends_no_dialogue(server: ScriptedServer) -> None:
    screen = await Screen.open(server.url)
    await screen.prompts()
    screen.paste("word " * 14_000)
    screen.type("\r")
    await screen.sees("bytes in one message")
    await screen.prompts()
    screen.type("Hi\r")
    await answered(await server.peer(), "Yes.")
    await leaves(screen)


async def test_a_conversation_that_is_deleted_in_an_answer_is_followed_by_a_new_one(
    server: ScriptedServer,
) -> None:
    screen = await Screen.open(server.url)
    await screen.prompts()
    screen.type("Hi\r")
    peer = await server.peer()
    await peer.ack_send(await peer.receive("send"))
    await peer.send(*answer("Slowly.")[:4])
    await screen.sees("Slowly.")
    gone = {"code": "unknown_conversation", "retryable": False}
    await peer.send({"type": "closed", "conversation": CONVERSATION, **gone})
    await screen.sees("The next message begins a new one.")
    await screen.prompts()
    screen.type("Again\r")
    while (command := await peer.receive())["type"] != "send":
        pass
    assert "conversation" not in command
    await peer.ack_send({**command, "conversation": "c_2"}, turn="t_2")
    frames = answer("Yes.", turn="t_2")
    await peer.send(*({**frame, "conversation": "c_2"} for frame in frames))
    await leaves(screen)
