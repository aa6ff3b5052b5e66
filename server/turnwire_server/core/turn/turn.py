"""The turn: from a user's message to exactly one `done`.

What it asks of the model is `agent_loop.py`'s, in one task. A turn can be ended from outside at any
moment (`end`), synchronously: the terminal event is written at once, and whatever the task or a
tool still says is ignored.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from turnwire_protocol import (
    Code,
    Content,
    Done,
    Error,
    Event,
    RunsOn,
    Start,
    StopReason,
    TotalUsage,
)
from turnwire_server.core.folded_log import FoldedLog
from turnwire_server.core.log.items import DeltaType, Place, Private, spent_of
from turnwire_server.core.rest import Rest
from turnwire_server.core.telemetry import TurnNames
from turnwire_server.core.turn.agent_loop import AgentLoop
from turnwire_server.core.turn.clock import Clock
from turnwire_server.core.turn.hooks import CallContext, TurnContext, TurnEnd
from turnwire_server.core.turn.options import Options
from turnwire_server.core.turn.output_schema import parse_output
from turnwire_server.core.turn.services import Services
from turnwire_server.core.turn.tool_calls import ToolCalls
from turnwire_server.core.turn.usage import UsageMeter
from turnwire_server.errors import ModelError, forget_frames
from turnwire_server.log_fields import Fields
from turnwire_server.model.port import ApiBlock
from turnwire_server.store.port import Spent
from turnwire_server.timestamp import timestamp
from turnwire_server.tools.port import ToolContext

__all__ = ["Turn", "TurnState"]

logger = logging.getLogger("turnwire.turn")

_COMPLETE = (StopReason.END_TURN, StopReason.STOP_SEQUENCE)
"""After others the answer is cut off, and no output, even where it happens to be JSON."""


class TurnState(Enum):
    """Where a turn is. It only moves down this list."""

    QUEUED = auto()
    """Its message is accepted; nothing runs. Its beginning may be written (`open`)."""
    RUNNING = auto()
    DONE = auto()
    """`done` is written; nothing of the turn follows."""


class Turn:
    """One user message and everything done to answer it. Runs once."""

    def __init__(
        self,
        id: str,
        *,
        principal: str,
        content: Content,
        options: Options,
        services: Services,
        log: FoldedLog,
        on_done: Callable[["Turn"], None],
        on_rest: Callable[[], None],
        cancel_on_detach: bool,
        trace: str | None = None,
    ) -> None:
        """`on_done`: it has ended. `on_rest`: `is_resting` has changed. `trace`: see `Send`."""
        self.id = id
        self.principal = principal
        self._content = content
        self.state = TurnState.QUEUED
        self.cancel_on_detach = cancel_on_detach
        self._services = services
        self._log = log
        self._on_done = on_done
        self._on_rest = on_rest
        self._rest = Rest()
        self._task: asyncio.Task[None] | None = None
        self._clock = Clock(services.policy.turn_timeout, self._time_out)
        self._meter = UsageMeter()
        names = TurnNames(
            conversation=log.conversation,
            turn=id,
            principal=principal,
            model=options.model,
            trace=trace,
        )
        self._watch = services.telemetry.turn(names)
        self.calls = ToolCalls(
            self,
            toolset=services.toolset.subset(options.tools),
            client_tools=options.client_tools,
            runner=options.runner,
            approval_timeout_seconds=services.policy.approval_timeout,
            client_tool_timeout_seconds=services.policy.client_tool_timeout,
            context=self._tool_context,
            objection=self._objection,
            watch=self._watch,
        )
        """Its tool calls: decisions and outputs from outside go there."""
        self._agent = AgentLoop(
            self,
            turn=id,
            principal=principal,
            options=options,
            services=services,
            log=log,
            calls=self.calls,
            meter=self._meter,
            watch=self._watch,
        )
        self._created = time.monotonic()
        self.has_started = False
        """Whether its `start` is written."""
        self._unseen: list[tuple[Event, Private | None]] = []
        """What it has written while it was queued, of which its watch is not told yet."""

    # Life

    def open(self) -> None:
        """Write that it begins, and with what, as far as no hook is to be asked first.

        It may be called together with the message's append: one commit for both. Until that is
        durable it can be withdrawn.
        """
        if self.has_started or self._services.hooks.prepares:
            return
        try:
            self._write_start([])
            self._agent.open()
        except Exception:
            self._die()

    def start(self) -> None:
        """Begin to run; the message is durable."""
        self.open()
        if self.state is TurnState.DONE:
            return
        self.state = TurnState.RUNNING
        self._tell_watch()
        self._clock.start()
        self._task = asyncio.create_task(self._run(), name=f"turn {self.id}")
        self._task.add_done_callback(lambda task: self._let_go())

    def _write_start(self, added: list[ApiBlock]) -> None:
        private: Private = {"options": self._agent.options.model_dump()}
        if added:
            private["added"] = added
        self.has_started = True
        self.write(Start(**self.place(), model=self._agent.model), private)

    async def _prepare(self) -> None:
        """Ask the app's hook what this turn runs with, and write that it begins.

        Raises:
            ModelError: it is not to go on.
        """
        context = TurnContext(
            principal=self.principal,
            conversation=self._log.conversation,
            turn=self.id,
            message=self._content,
            model=self._agent.model,
            system=self._agent.options.system,
            state=self._services.hooks.state,
        )
        try:
            setup, added = await self._services.hooks.before_turn(context)
        except ModelError:
            # Readers know a turn by its start, whatever comes of it.
            self._write_start([])
            raise
        self._agent.change(system=setup.system, model=setup.model)
        self._write_start(added)

    def end(self, stop_reason: str, error: ModelError | None = None) -> None:
        """Write what is missing and the one `done`; stop everything. Idempotent, synchronous."""
        if self.state is TurnState.DONE:
            return
        # Where it has not run the model was never asked, whatever it wrote.
        self._unseen.clear()
        self.calls.end(stop_reason)
        if error is not None:
            self.write(
                Error(
                    **self.place(),
                    code=error.code,
                    message=error.message,
                    retryable=error.retryable,
                    retry_after_seconds=error.retry_after_seconds,
                    request_id=error.request_id,
                ),
                error.private,
            )
        usage = self._meter.total()
        milliseconds = round((time.monotonic() - self._created) * 1000)
        self.write(
            Done(
                **self.place(),
                stop_reason=stop_reason,
                usage=usage,
                steps=self._agent.step,
                duration_ms=milliseconds,
                cost_usd=self._meter.cost_usd(self._services.price_of),
                refusal=self._agent.refusal if stop_reason == StopReason.REFUSAL else None,
                stop_sequence=self._agent.stop_sequence,
                output=self._output() if stop_reason in _COMPLETE else None,
            )
        )
        self.state = TurnState.DONE
        self._tell_watch()
        self._services.hooks.after_turn(
            lambda: self._told(stop_reason, usage, error), self._log.all_durable
        )
        self._clock.stop()
        # This closes the upstream: the task leaves `async with model.stream(…)`, or whatever else
        # it waits in. Where the task itself ends the turn there is nothing to stop.
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        began = self._agent.answer.first_delta
        first = None if began is None else began - self._created
        logger.info(
            "turn %s",
            Fields(
                principal=self.principal,
                conversation=self._log.conversation,
                turn=self.id,
                model=self._agent.model,
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                first_token_ms=None if first is None else round(first * 1000),
                total_ms=milliseconds,
                stop_reason=stop_reason,
                code=None if error is None else error.code.value,
                **self._watch.ids(),
            ),
        )
        self._on_done(self)
        if self._task is None:
            self._let_go()

    def detach(self) -> None:
        """The last of those who followed it has gone."""
        if self.state is TurnState.RUNNING:
            self._watch.detach()

    def _output(self) -> Any:
        """What the answer says as data, where a format was asked for: its last text, if that is
        JSON. What the log says is the text; this is for readers, who need not parse it."""
        if self._agent.options.output_schema is None:
            return None
        return parse_output(self._log.last_text(self.id))

    def _told(self, stop_reason: str, usage: TotalUsage, error: ModelError | None) -> TurnEnd:
        """What the app's hook is told of the end."""
        return TurnEnd(
            principal=self.principal,
            conversation=self._log.conversation,
            turn=self.id,
            model=self._agent.model,
            stop_reason=stop_reason,
            code=None if error is None else error.code.value,
            usage=usage,
            cost_usd=self._meter.cost_usd(self._services.price_of),
            state=self._services.hooks.state,
        )

    def _let_go(self) -> None:
        """Nothing of it runs any more. Its parts refer to it: what it holds of them, and of the
        log, with all its history, must not wait for the collector."""
        del self._on_done, self._on_rest, self._log
        del self.calls, self._agent, self._clock
        # One that was stopped before it ran keeps its only frame, which knows the turn.
        self._task = None

    @property
    def is_resting(self) -> bool:
        """Whether everything that is left to do is up to somebody outside."""
        return self._rest.is_resting

    def spending(self) -> Spent:
        """What it has used so far."""
        cost = self._meter.cost_usd(self._services.price_of)
        return spent_of(self._meter.total(), cost, at=timestamp())

    def drop(self) -> None:
        """Forget a turn whose message was withdrawn: it writes nothing, not even `done`."""
        self.state = TurnState.DONE
        self._let_go()

    async def _run(self) -> None:
        try:
            if not self.has_started:
                await self._prepare()
            self.end(await self._agent.run())
        except ModelError as error:
            self.end(StopReason.FAILED, error)
        except asyncio.CancelledError as cancelled:
            # `end` cancels the task only after `done`. Otherwise the process is going down.
            self.end(StopReason.INTERRUPTED)
            # The task keeps it, and the frames it came through know the task.
            forget_frames(cancelled)
            raise
        except Exception:
            self._die()

    def _die(self) -> None:
        """Boundary: a turn that dies of our own mistake still ends. In the handler of that."""
        logger.exception("turn %s failed", self.id)
        self.end(StopReason.FAILED, ModelError(Code.INTERNAL, "internal error"))

    # Writing

    def place(self) -> Place:
        """See `TurnWriter.place`."""
        return self._log.place(self.id)

    def write(self, event: Event, private: Private | None = None) -> None:
        """See `TurnWriter.write`."""
        if self.state is TurnState.DONE:
            return
        self._log.write(event, private)
        if self.state is TurnState.QUEUED:
            self._unseen.append((event, private))
        else:
            self._watch.see(event, private)
        was_resting = self._rest.is_resting
        self._rest.apply(event)
        if self._rest.is_resting is not was_resting:
            self._clock_or_rest()

    def _tell_watch(self) -> None:
        """Not before it runs, or has ended: of a turn that is withdrawn its watch sees nothing."""
        unseen, self._unseen = self._unseen, []
        for event, private in unseen:
            self._watch.see(event, private)

    def write_delta(
        self, type: DeltaType, block: int, text: str, *, tool_id: str | None = None
    ) -> None:
        """See `TurnWriter.write_delta`."""
        if self.state is not TurnState.DONE:
            self._log.write_delta(type, self.id, block, text, tool_id=tool_id)

    def stored(self) -> asyncio.Future[None]:
        """See `TurnWriter.stored`."""
        return self._log.all_durable()

    def check_store(self) -> None:
        """See `TurnWriter.check_store`."""
        self._log.check_store()

    def has_call(self, tool_id: str) -> bool:
        """See `TurnWriter.has_call`."""
        return self._log.has_call(tool_id)

    # Time

    def _clock_or_rest(self) -> None:
        """What people and clients are waited for has time limits of its own; the turn's stands."""
        if self._rest.is_resting:
            self._clock.stop()
        elif self.state is TurnState.RUNNING:
            self._clock.start()
        self._on_rest()

    def _time_out(self) -> None:
        timeout = self._services.policy.turn_timeout
        message = f"the turn did not end within {timeout:g} seconds"
        self.end(StopReason.FAILED, ModelError(Code.TIMEOUT, message))

    def _tool_context(
        self, tool_id: str, report: Callable[[str, float | None], None]
    ) -> ToolContext:
        return ToolContext(
            principal=self.principal,
            conversation=self._log.conversation,
            turn=self.id,
            tool_id=tool_id,
            report=report,
            state=self._services.hooks.state,
        )

    async def _objection(
        self, tool_id: str, tool_name: str, runs_on: RunsOn, input: dict[str, Any]
    ) -> str | None:
        """Why a call must not run with this input, as the app's hook says; None if it may."""
        return await self._services.hooks.before_tool(
            CallContext(
                principal=self.principal,
                conversation=self._log.conversation,
                turn=self.id,
                tool_id=tool_id,
                tool_name=tool_name,
                input=input,
                runs_on=runs_on,
                state=self._services.hooks.state,
            )
        )
