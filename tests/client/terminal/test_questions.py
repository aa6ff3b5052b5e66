"""What `turnwire chat` asks its user while a turn runs, on a terminal of its own."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.client.program import Screen, ended, start
from tests.kit.scripted_server import AT, CONVERSATION, Frame, Peer, ScriptedServer, answer, done

ALLOW = "Allow it? [y]es, [n]o, [e]dit its input: "
EDIT = "Input, as JSON on one line: "
WHY = "Why not? (may be empty) "
ASK = {"name": "ask", "description": "Ask the user.", "input_schema": {"type": "object"}}


def event(seq: int, type: str, **fields: Any) -> Frame:
    frame = {"type": type, "conversation": CONVERSATION, "turn": "t_1", "seq": seq, "at": AT}
    return {**frame, "tool_id": "u1", **fields}


def approval(seq: int, **fields: Any) -> Frame:
    asked = {"tool_name": "erase", "input": {"path": "a"}, "expires_at": AT}
    return event(seq, "tool_approval", **asked, **fields)


async def asked(server: ScriptedServer, *options: str) -> tuple[Screen, Peer, Frame]:
    """A running chat whose message has been taken, and the message."""
    screen = await Screen.open(server.url, *options)
    await screen.prompts()
    screen.type("Hi\n")
    peer = await server.peer()
    command = await peer.receive("send")
    await peer.ack_send(command)
    await peer.send(*answer()[:3])
    return screen, peer, command


async def approving(server: ScriptedServer) -> tuple[Screen, Peer]:
    """A running chat that asks whether a call is allowed."""
    screen, peer, _ = await asked(server)
    await peer.send(approval(4))
    await screen.sees('erase {"path": "a"}')
    await screen.prompts(ALLOW)
    return screen, peer


async def finish(screen: Screen, peer: Peer, *, seq: int) -> None:
    """The turn ends; so does the program."""
    await peer.send(event(seq, **done()))
    await screen.sees("4 out")
    await screen.prompts()
    screen.type("\x04")
    assert await screen.ended() == 0


@pytest.mark.parametrize(
    ("typed", "decided"),
    [
        (["y\n"], {"decision": "allow"}),
        (["what?\n", "y\n"], {"decision": "allow"}),
        (["n\n", "not today\n"], {"decision": "deny", "reason": "not today"}),
        (["n\n", "\n"], {"decision": "deny"}),
        (["\x04"], {"decision": "deny"}),
        (["e\n", '{"path": "b"}\n'], {"decision": "allow", "input": {"path": "b"}}),
        (["e\n", "b\n", "y\n"], {"decision": "allow"}),
    ],
)
async def test_an_approval_is_asked_for_and_the_answer_sent(
    server: ScriptedServer, typed: list[str], decided: dict[str, Any]
) -> None:
    screen, peer = await approving(server)
    for number, line in enumerate(typed):
        if number:
            await screen.prompts({"n\n": WHY, "e\n": EDIT}.get(typed[number - 1], ALLOW))
        screen.type(line)
    command = await peer.receive("decide")
    await peer.ack(command)
    said = {name: command[name] for name in ("decision", "input", "reason") if name in command}
    assert (command["tool_id"], said) == ("u1", decided)
    await peer.send(event(5, "tool_decision", **decided))
    await screen.sees("allowed" if decided["decision"] == "allow" else "denied")
    await finish(screen, peer, seq=6)


async def test_an_answer_the_server_does_not_take_is_asked_for_again(
    server: ScriptedServer,
) -> None:
    screen, peer = await approving(server)
    screen.type("e\n")
    await screen.prompts(EDIT)
    screen.type("{}\n")
    command = await peer.receive("decide")
    why = {"code": "bad_command", "message": "input: path is missing", "retryable": False}
    await peer.send({"type": "reject", "id": command["id"], **why})
    await screen.sees("path is missing")
    await screen.prompts(ALLOW)
    screen.type("y\n")
    command = await peer.receive("decide")
    await peer.ack(command)
    assert "input" not in command
    await finish(screen, peer, seq=5)


async def test_a_question_that_is_answered_elsewhere_goes_away(server: ScriptedServer) -> None:
    screen, peer = await approving(server)
    # Half an answer; it must not become one to what is asked next.
    screen.type("y")
    await screen.prompts(f"{ALLOW}y")
    await peer.send(event(5, "tool_decision", decision="deny", reason="no"))
    await screen.sees("denied: no")
    await peer.send(approval(6, tool_id="u2"))
    await screen.prompts(ALLOW)
    screen.type("n\n")
    await screen.prompts(WHY)
    screen.type("\n")
    command = await peer.receive("decide")
    await peer.ack(command)
    assert (command["tool_id"], command["decision"]) == ("u2", "deny")
    await finish(screen, peer, seq=7)


async def test_an_interrupt_at_a_question_stops_the_turn(server: ScriptedServer) -> None:
    screen, peer = await approving(server)
    screen.process.send_signal(signal.SIGINT)
    command = await peer.receive("cancel")
    await peer.ack(command, turn="t_1", outcome="cancelling")
    result = {"content": "Cancelled by the user.", "is_error": True, "duration_ms": 1}
    await peer.send(event(5, "tool_result", **result))
    await screen.sees("Cancelled by the user.")
    await finish(screen, peer, seq=6)


async def test_a_call_the_user_answers_is_asked_and_the_line_is_its_output(
    server: ScriptedServer, tmp_path: Path
) -> None:
    tools = tmp_path / "tools.json"
    tools.write_text(json.dumps([ASK]))
    screen, peer, command = await asked(server, "--client-tools", str(tools))
    assert command["client_tools"] == [ASK]
    where = {"runs_on": "client", "tool_name": "ask", "input": {"question": "Which?"}}
    await peer.send(event(4, "tool_executing", **where, runner=command["runner"]))
    await screen.sees("Which?")
    await screen.prompts("Your answer: ")
    screen.type("The red one\n")
    output = await peer.receive("tool_output")
    await peer.ack(output)
    assert (output["tool_id"], output["runner"]) == ("u1", command["runner"])
    assert (output["content"], output["is_error"]) == ("The red one", False)
    await finish(screen, peer, seq=5)


async def test_a_call_of_another_client_is_not_asked_about(
    server: ScriptedServer, tmp_path: Path
) -> None:
    tools = tmp_path / "tools.json"
    tools.write_text(json.dumps([ASK]))
    screen, peer, _ = await asked(server, "--client-tools", str(tools))
    where = {"runs_on": "client", "tool_name": "ask", "input": {"question": "Which?"}}
    await peer.send(event(4, "tool_executing", **where, runner="another"))
    result = {"content": "red", "is_error": False, "duration_ms": 1}
    await peer.send(event(5, "tool_result", **result))
    await screen.sees("red")
    assert "Your answer" not in screen.shown
    await finish(screen, peer, seq=6)


async def test_a_question_about_one_message_leaves_the_terminal_as_it_was(
    server: ScriptedServer,
) -> None:
    screen = await Screen.open(server.url, "Hi")
    peer = await server.peer()
    await peer.ack_send(await peer.receive("send"))
    await peer.send(*answer()[:3], approval(4))
    await screen.prompts(ALLOW)
    assert screen.marks_pastes
    screen.type("y\n")
    await peer.ack(await peer.receive("decide"))
    await peer.send(event(5, **done()))
    await screen.sees("4 out")
    # What reads next is the shell, and it may not know of marks.
    assert not screen.marks_pastes
    assert await screen.ended() == 0


async def test_progress_is_shown_as_a_bar(server: ScriptedServer) -> None:
    screen, peer, _ = await asked(server)
    await peer.send(event(4, "tool_progress", message="asking station 1", fraction=0.5))
    await screen.sees("asking station 1")
    await screen.sees("━━━━━")
    await finish(screen, peer, seq=5)


async def test_a_file_that_has_no_tools_is_named(server: ScriptedServer, tmp_path: Path) -> None:
    tools = tmp_path / "tools.json"
    tools.write_text('[{"name": "no name"}]')
    code, _, errors = await ended(
        await start("chat", "--url", server.url, "--client-tools", str(tools), "Hi")
    )
    assert code == 2
    assert "--client-tools" in errors
