"""`turnwire chat` for scripts: one message in, one answer out, and exit codes."""

import asyncio
import json
import os
import pty
import shlex
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from typing import Any

import pytest

from tests.client.program import PROGRAM, ended, start
from tests.kit.patience import PATIENCE_SECONDS
from tests.kit.scripted_server import AT, CONVERSATION, Frame, ScriptedServer, answer, done


async def asked(
    server: ScriptedServer, *arguments: str, text: str = "", end: Frame | None = None
) -> tuple[Frame, int | None, str, str]:
    """What was sent, the exit code, standard output and standard error."""
    process = await start("chat", "--url", server.url, *arguments, text=text)
    peer = await server.peer()
    command = await peer.receive("send")
    await peer.ack_send(command)
    frames = answer("An answer.")
    await peer.send(*frames[:-1], {**frames[-1], **(end or done())})
    return command, *await ended(process)


async def test_what_is_piped_in_follows_the_message(server: ScriptedServer) -> None:
    command, *_ = await asked(server, "What", "is this?", text="a file\n")
    assert command["content"] == "What is this?\n\na file\n"


async def test_the_options_of_a_message_go_with_it(server: ScriptedServer) -> None:
    command, *_ = await asked(server, "-p", "--model", "m", "--system", "Be brief.", "Hi")
    assert (command["model"], command["system"]) == ("m", "Be brief.")


async def test_json_is_one_object(server: ScriptedServer) -> None:
    _, code, output, errors = await asked(server, "--json", "Hi")
    assert (code, errors) == (0, "")
    said = json.loads(output)
    assert said.pop("usage")["output_tokens"] == 4
    assert said == {
        "conversation": CONVERSATION,
        "turn": "t_1",
        "text": "An answer.",
        "stop_reason": "end_turn",
    }


async def test_json_has_what_went_wrong(server: ScriptedServer) -> None:
    process = await start("chat", "--url", server.url, "--json", "Hi")
    peer = await server.peer()
    command = await peer.receive("send")
    why = {"code": "too_many", "message": "later", "retryable": True}
    await peer.send({"type": "reject", "id": command["id"], **why})
    code, output, errors = await ended(process)
    assert (code, errors) == (1, "Error: too_many: later\n")
    assert json.loads(output) == {"error": {"code": "too_many", "message": "later"}}


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (done("max_tokens"), "limit of tokens"),
        (done("cancelled"), "stopped"),
        ({**done("refusal"), "refusal": {"category": "cyber"}}, "refused (cyber)"),
    ],
)
async def test_an_answer_that_is_cut_or_refused_is_told_on_stderr(
    server: ScriptedServer, end: Frame, told: str
) -> None:
    _, code, output, errors = await asked(server, "Hi", end=end)
    assert (code, output) == (1, "An answer.\n")
    assert told in errors


async def test_an_interrupt_stops_the_answer_keeps_what_came_and_exits_with_130(
    server: ScriptedServer,
) -> None:
    process = await start("chat", "--url", server.url, "Hi")
    peer = await server.peer()
    await peer.ack_send(await peer.receive("send"))
    await peer.send(*answer("Half")[:4])
    process.send_signal(signal.SIGINT)
    command = await peer.receive("cancel")
    await peer.ack(command, turn="t_1", outcome="cancelling")
    await peer.send({**answer()[-1], "seq": 5, **done("cancelled")})
    assert await ended(process) == (130, "Half\n", "")


async def test_an_interrupt_before_the_service_answers_exits_with_130() -> None:
    async with ScriptedServer(welcome=False) as server:
        process = await start("chat", "--url", server.url, "Hi")
        await server.peer()
        process.send_signal(signal.SIGINT)
        assert await ended(process) == (130, "", "")


@pytest.mark.parametrize(
    ("options", "decision", "told"),
    [
        ([], "deny", "erase was denied"),
        (["--allow", "other", "--allow", "erase"], "allow", ""),
    ],
)
async def test_where_nobody_can_be_asked_a_call_is_denied_unless_its_tool_is_allowed(
    server: ScriptedServer, options: list[str], decision: str, told: str
) -> None:
    process = await start("chat", "--url", server.url, *options, "Hi")
    peer = await server.peer()
    await peer.ack_send(await peer.receive("send"))
    place: dict[str, Any] = {"conversation": CONVERSATION, "turn": "t_1", "at": AT}
    call = {"tool_id": "u1", "tool_name": "erase", "input": {}, "expires_at": AT}
    await peer.send(*answer()[:3], {"type": "tool_approval", "seq": 4, **place, **call})
    command = await peer.receive("decide")
    assert (command["tool_id"], command["decision"]) == ("u1", decision)
    await peer.ack(command)
    await peer.send({**place, "seq": 5, **done()})
    code, output, errors = await ended(process)
    assert (code, output) == (0, "\n")
    assert told in errors
    assert bool(told) == bool(errors)


async def test_what_the_encoding_of_stdout_lacks_is_left_out(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    process = await start("chat", "--url", server.url, "Hi")
    peer = await server.peer()
    await peer.ack_send(await peer.receive("send"))
    await peer.send(*answer("n日"))
    assert await ended(process) == (0, "n?\n", "")


@pytest.mark.parametrize(
    ("redirected", "code", "told"),
    [
        ("<&-", 0, ""),
        ("2>&-", 0, ""),
        (">&-", 2, "standard output is closed"),
        (">/dev/full", 1, "standard output: No space left on device"),
    ],
)
async def test_a_stream_that_is_closed_or_full_is_no_traceback(
    server: ScriptedServer, redirected: str, code: int, told: str
) -> None:
    command = shlex.join([sys.executable, "-c", PROGRAM, "chat", "--url", server.url, "Hi"])
    process = await asyncio.create_subprocess_shell(
        f"exec {command} {redirected}", stdin=DEVNULL, stdout=PIPE, stderr=PIPE
    )
    if code != 2:
        peer = await server.peer()
        await peer.ack_send(await peer.receive("send"))
        await peer.send(*answer("An answer."))
    output, errors = await process.communicate()
    assert process.returncode == code
    assert output == (b"" if code else b"An answer.\n")
    assert told in errors.decode()
    assert b"Traceback" not in errors


async def test_an_interrupt_while_standard_input_is_read_exits_with_130(
    server: ScriptedServer,
) -> None:
    # What a shell has put into the background ignores it, and all that this starts.
    listens = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", listens + PROGRAM, "chat", "--url", server.url, "Hi"),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
    )
    assert process.stdin is not None
    # More than a pipe holds: it is written when it is being read.
    process.stdin.transport.set_write_buffer_limits(0)
    process.stdin.write(b"a" * 1_000_000)
    await process.stdin.drain()
    ended = asyncio.ensure_future(process.wait())
    while not ended.done():
        # Once is enough, unless it comes in the moment before a `read`, which no Python sees.
        process.send_signal(signal.SIGINT)
        await asyncio.wait([ended], timeout=PATIENCE_SECONDS / 10)
    assert (process.returncode, *await process.communicate()) == (130, b"", b"")


async def test_without_a_terminal_to_prompt_on_nothing_is_prompted_for(
    server: ScriptedServer,
) -> None:
    controller, terminal = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, "chat", "--url", server.url),
        stdin=terminal,
        stdout=PIPE,
        stderr=PIPE,
    )
    output, errors = await process.communicate()
    os.close(terminal)
    os.close(controller)
    assert (process.returncode, output) == (2, b"")
    assert b"no terminal to prompt on" in errors
