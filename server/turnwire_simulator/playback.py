"""Plays an answer: paces its events, obeys its controls; knows a stage to write on, not HTTP."""

import asyncio
from typing import Protocol

from turnwire_simulator.answer import Answer, encode, is_token
from turnwire_simulator.controls import Control, Cut, ErrorEvent, Gate, Pause, Raw, Stall

__all__ = ["Stage", "play"]

MAX_WRITE_BYTES = 32 * 1024


class Stage(Protocol):
    """Where an answer is played."""

    async def write(self, data: bytes) -> None:
        """Hands the bytes over as one write."""
        ...

    async def flush(self) -> None:
        """Returns when nothing written waits in this process any more."""
        ...

    def abort(self) -> None:
        """Resets the connection; what plays on it is cancelled."""
        ...


async def play(answer: Answer, stage: Stage, *, tokens_per_second: float | None) -> bool:
    """Plays the answer, whose `message_start` is filled in, and says whether it came to its end.

    False means that it ended before `message_stop` by its own script. Raises what the stage
    raises; a client that goes away cancels the task.
    """
    rate = answer.tokens_per_second or tokens_per_second
    interval_seconds = 1 / rate if rate else None
    loop = asyncio.get_running_loop()
    due = loop.time()
    waiting = bytearray()
    complete = False
    for step in answer.script:
        if not isinstance(step, dict):
            await _write(stage, waiting, answer.chunk_bytes)
            await stage.flush()
            if not await _obey(step, stage):
                return False
            # The time of the control is not made up for with a burst.
            due = loop.time()
            continue
        if interval_seconds is not None:
            if is_token(step):
                due += interval_seconds
                await asyncio.sleep(max(0.0, due - loop.time()))
            await _write(stage, bytearray(encode(step)), answer.chunk_bytes)
        else:
            waiting += encode(step)
            if len(waiting) >= MAX_WRITE_BYTES:
                await _write(stage, waiting, answer.chunk_bytes)
                # Flat out no write blocks: let other streams and the client's close have a turn.
                await asyncio.sleep(0)
        complete = complete or step["type"] == "message_stop"
    await _write(stage, waiting, answer.chunk_bytes)
    await stage.flush()
    return complete


async def _write(stage: Stage, data: bytearray, chunk_bytes: int | None) -> None:
    if chunk_bytes is None:
        if data:
            await stage.write(bytes(data))
    else:
        for start in range(0, len(data), chunk_bytes):
            await stage.write(bytes(data[start : start + chunk_bytes]))
            # Each piece leaves, and a reader in the same loop takes it, before the next is made.
            await stage.flush()
            await asyncio.sleep(0)
    data.clear()


async def _obey(control: Control, stage: Stage) -> bool:
    """Carries the control out; False ends the answer here."""
    match control:
        case Pause(seconds):
            await asyncio.sleep(seconds)
        case Gate():
            await control.passed()
        case Raw(data):
            await stage.write(data)
        case Cut():
            stage.abort()
            return False
        case Stall():
            await asyncio.Event().wait()
        case ErrorEvent(kind, message):
            error = {"type": kind, "message": message}
            await stage.write(encode({"type": "error", "error": error}))
            return False
    return True
