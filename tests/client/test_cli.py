"""The `turnwire` program, as a process of its own."""

import re
import signal
import socket
from typing import get_args

import pytest

from tests.client.program import Screen, ended, start
from tests.kit.scripted_server import AT, Peer, ScriptedServer, answer, done
from turnwire.terminal.command import EFFORTS
from turnwire_protocol import Effort
from turnwire_protocol.extras import how_to_install


async def answered(server: ScriptedServer, *texts: str) -> str:
    """Answers one `send`; returns what it said."""
    peer = await server.peer()
    command = await peer.receive("send")
    await peer.ack_send(command)
    await peer.send(*answer(*texts))
    content: str = command["content"]
    return content


async def test_help_lists_the_commands_with_their_help() -> None:
    code, output, _ = await ended(await start("--help"))
    assert code == 0
    assert re.search(r"^  chat +Chat in the terminal\.$", output, re.MULTILINE)


def test_the_efforts_are_those_of_the_protocol() -> None:
    assert get_args(Effort) == EFFORTS


async def test_version_is_told() -> None:
    code, output, _ = await ended(await start("--version"))
    assert (code, output.split(",")[0]) == (0, "turnwire")


async def test_what_an_encoding_lacks_ends_no_help_and_is_not_lost_to_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    code, output, errors = await ended(await start("chat", "--help"))
    # There is an ellipsis in it, and in that of Latin-1 is none.
    assert (code, errors) == (0, "")
    assert "?" in output
    code, output, errors = await ended(await start("日"))
    assert (code, output) == (2, "")
    assert r"'\u65e5'" in errors


async def test_a_bare_install_says_what_to_install() -> None:
    code, output, errors = await ended(await start("chat", without="click"))
    assert (code, output) == (2, "")
    assert how_to_install("cli") in errors


async def test_a_command_that_lacks_a_module_says_what_to_install() -> None:
    code, _, errors = await ended(await start("chat", "--url", "x", without="rich"))
    assert code == 2
    assert how_to_install("cli") in errors


async def test_a_script_reads_nothing_of_the_past(server: ScriptedServer) -> None:
    process = await start("chat", "--url", server.url, "Hi", without="turnwire.terminal.past")
    await answered(server, "Yes.")
    assert await ended(process) == (0, "Yes.\n", "")


async def test_an_unknown_command_is_an_error() -> None:
    code, _, _ = await ended(await start("nonsense"))
    assert code == 2


async def test_a_message_is_answered_once_as_plain_text(server: ScriptedServer) -> None:
    process = await start("chat", "--url", server.url, "Hi", "there")
    said = await answered(server, "**Hel", "lo**")
    assert await ended(process) == (0, "**Hello**\n", "")
    assert said == "Hi there"


async def test_standard_input_is_the_message_where_there_is_none(server: ScriptedServer) -> None:
    process = await start("chat", "--url", server.url, text="What is\nthis?\n")
    said = await answered(server, "A test")
    assert await ended(process) == (0, "A test\n", "")
    assert said == "What is\nthis?\n"


async def test_a_turn_that_fails_exits_with_1_and_keeps_what_came(server: ScriptedServer) -> None:
    error = {"type": "error", "code": "overloaded", "message": "later", "retryable": True}
    process = await start("chat", "--url", server.url, "Hi")
    peer = await server.peer()
    await peer.ack_send(await peer.receive("send"))
    frames = answer("half", "")
    await peer.send(*frames[:4], frames[4] | error | {"at": AT}, frames[5] | done("failed"))
    assert await ended(process) == (1, "half\n", "Error: overloaded: later\n")


async def test_where_nobody_listens_the_remedy_is_told() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        code, _, errors = await ended(await start("chat", "--url", url, "Hi"))
    assert code == 1
    assert "turnwire serve" in errors


async def test_a_service_that_wants_a_token_says_how_to_give_it(server: ScriptedServer) -> None:
    server.refuse = 401
    code, _, errors = await ended(await start("chat", "--url", server.url, "Hi"))
    assert code == 1
    assert "--token" in errors


async def on_screen(server: ScriptedServer) -> tuple[Screen, Peer]:
    """A running chat whose first answer has begun."""
    screen = await Screen.open(server.url)
    await screen.prompts()
    screen.type("Hi\n")
    peer = await server.peer()
    await peer.ack_send(await peer.receive("send"))
    await peer.send(*answer("Finished.\n\n", "Half a", "")[:5])
    await screen.sees("Finished.")
    await screen.sees("Half a")
    return screen, peer


async def test_interrupting_an_answer_stops_it_and_not_the_program(server: ScriptedServer) -> None:
    screen, peer = await on_screen(server)
    screen.process.send_signal(signal.SIGINT)
    command = await peer.receive("cancel")
    await peer.ack(command, turn="t_1", outcome="cancelling")
    await peer.send(answer("", "", "")[5] | done("cancelled"))
    await screen.sees("cancelled")
    await screen.prompts()
    screen.type("\x04")
    assert await screen.ended() == 0


async def test_interrupting_at_the_prompt_leaves(server: ScriptedServer) -> None:
    screen = await Screen.open(server.url)
    await screen.prompts()
    screen.process.send_signal(signal.SIGINT)
    assert await screen.ended() == 0


async def test_the_demo_is_called_so_before_the_first_message(server: ScriptedServer) -> None:
    server.is_demo = True
    screen = await Screen.open(server.url)
    await screen.sees("demo")
    await screen.prompts()
    screen.type("\x04")
    assert await screen.ended() == 0


async def test_an_answer_goes_on_over_a_lost_connection(server: ScriptedServer) -> None:
    screen, peer = await on_screen(server)
    peer.drop()
    peer = await server.peer()
    await peer.ack_subscribe(await peer.receive("subscribe"), head=5)
    await peer.send(*[frame | {"text": " word."} for frame in answer("", "", "")[5:6]])
    await screen.sees("Half a word.")
    await peer.send(*answer("", "", "")[6:])
    await screen.sees("4 out")
    await screen.prompts()
    screen.type("\x04")
    assert await screen.ended() == 0
