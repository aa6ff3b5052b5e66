"""The turn: the agent loop from a user's message to exactly one `done`.

The loop is one task. A turn can be ended from outside at any moment (`end`), synchronously: the
terminal event is written at once, and whatever the task or a tool still says is ignored.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from typing import Any

from turnwire_protocol import (
    Code,
    Content,
    Done,
    Error,
    Event,
    Refusal,
    Retry,
    RunsOn,
    Start,
    Step,
    StopReason,
    ToolChoice,
    TotalUsage,
)
from turnwire_server.core.blobs.blobs import Blobs
from turnwire_server.core.folded_log import FoldedLog
from turnwire_server.core.history.history import Rendered
from turnwire_server.core.log.items import DeltaType, Place, Private, spent_of
from turnwire_server.core.rest import Rest
from turnwire_server.core.telemetry import NO_TELEMETRY, Tally, Telemetry, TurnNames
from turnwire_server.core.turn.answer_writer import AnswerWriter
from turnwire_server.core.turn.backoff import delay_seconds
from turnwire_server.core.turn.clock import Clock
from turnwire_server.core.turn.hook_runner import HookRunner
from turnwire_server.core.turn.hooks import CallContext, TurnContext, TurnEnd
from turnwire_server.core.turn.options import Options, Policy, user_id_of
from turnwire_server.core.turn.output_schema import parse_output
from turnwire_server.core.turn.prices import list_price
from turnwire_server.core.turn.summarizer import Summarizer
from turnwire_server.core.turn.tool_calls import ToolCalls
from turnwire_server.core.turn.usage import Price, UsageMeter
from turnwire_server.errors import ModelError, ProviderWords, forget_frames
from turnwire_server.log_fields import Fields
from turnwire_server.model.port import (
    ApiBlock,
    ApiMessage,
    Model,
    ModelRequest,
    Stop,
    ToolForm,
)
from turnwire_server.store.port import Spent
from turnwire_server.timestamp import timestamp
from turnwire_server.tools.port import ToolContext
from turnwire_server.tools.toolset import Toolset

__all__ = ["Services", "Turn", "TurnState"]

logger = logging.getLogger("turnwire.turn")

_CUT_OFF = frozenset(
    {StopReason.MAX_TOKENS, StopReason.REFUSAL, StopReason.MODEL_CONTEXT_WINDOW_EXCEEDED}
)
"""After these a call is not run, complete or not: the answer did not come to its end."""
_GOING_ON = ("tool_use", "pause_turn")
"""Reasons after which the model expects to be called again."""
_COMPLETE = (StopReason.END_TURN, StopReason.STOP_SEQUENCE)
"""After others the answer is cut off, and no output, even where it happens to be JSON."""
_ANY_OBJECT: dict[str, Any] = {"type": "object"}


class TurnState(Enum):
    """Where a turn is. It only moves down this list."""

    QUEUED = auto()
    """Its message is accepted; nothing runs."""
    RUNNING = auto()
    DONE = auto()
    """`done` is written; nothing of the turn follows."""


@dataclass(slots=True, frozen=True)
class Services:
    """What all turns share."""

    model: Model
    toolset: Toolset
    policy: Policy
    blobs: Blobs
    hooks: HookRunner = field(default_factory=HookRunner)
    chance: Callable[[], float] = random.random
    has_list_prices: bool = False
    """Whether the model is billed by the list of the Claude API."""
    telemetry: Telemetry = NO_TELEMETRY
    tally: Tally = field(default_factory=Tally)

    def price_of(self, model: str) -> Price | None:
        """What a model costs, as far as that is known: the operator's word comes first."""
        own = self.policy.prices.get(model)
        return list_price(model) if own is None and self.has_list_prices else own


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
        self.model = options.model
        """The model of the next attempt."""
        self._options = options
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
        self._answer = AnswerWriter(self, self.calls, self._meter, self._watch, services.tally)
        self._summarizer = Summarizer(
            services.model, self._answer, at=services.policy.compact_at, watch=self._watch
        )
        self._step = 0
        self._attempt = 0
        self._ignores_summary = False
        """Set once the summary was refused: it may be another model, or another provider."""
        self._has_answered = False
        """Whether a step of it has ended that was no summary."""
        self._refusal: Refusal | None = None
        """Why the model refused, if it did and says so."""
        self._prefix = ""
        """Of the last request; see `core.history`."""
        self._stop_sequence: str | None = None
        self._created = time.monotonic()

    # Life

    def start(self) -> None:
        """Begin to run; the message is durable."""
        self.state = TurnState.RUNNING
        self._clock.start()
        self._task = asyncio.create_task(self._run(), name=f"turn {self.id}")
        self._task.add_done_callback(lambda task: self._let_go())

    def _write_start(self, added: list[ApiBlock]) -> None:
        private: Private = {"options": self._options.model_dump()}
        if added:
            private["added"] = added
        self.write(Start(**self.place(), model=self.model), private)

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
            model=self.model,
            system=self._options.system,
            state=self._services.hooks.state,
        )
        try:
            setup, added = await self._services.hooks.before_turn(context)
        except ModelError:
            # Readers know a turn by its start, whatever comes of it.
            self._write_start([])
            raise
        self._options = self._options.changed(system=setup.system, model=setup.model)
        self.model = self._options.model
        self._write_start(added)

    def end(self, stop_reason: str, error: ModelError | None = None) -> None:
        """Write what is missing and the one `done`; stop everything. Idempotent, synchronous."""
        if self.state is TurnState.DONE:
            return
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
                steps=self._step,
                duration_ms=milliseconds,
                cost_usd=self._meter.cost_usd(self._services.price_of),
                refusal=self._refusal if stop_reason == StopReason.REFUSAL else None,
                stop_sequence=self._stop_sequence,
                output=self._output() if stop_reason in _COMPLETE else None,
            )
        )
        self.state = TurnState.DONE
        self._services.hooks.after_turn(
            lambda: self._told(stop_reason, usage, error), self._log.all_durable
        )
        self._clock.stop()
        # This closes the upstream: the task leaves `async with model.stream(…)`, or whatever else
        # it waits in. Where the task itself ends the turn there is nothing to stop.
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        began = self._answer.first_delta
        first = None if began is None else began - self._created
        logger.info(
            "turn %s",
            Fields(
                principal=self.principal,
                conversation=self._log.conversation,
                turn=self.id,
                model=self.model,
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
        self._watch.detach()

    def _output(self) -> Any:
        """What the answer says as data, where a format was asked for: its last text, if that is
        JSON. What the log says is the text; this is for readers, who need not parse it."""
        if self._options.output_schema is None:
            return None
        return parse_output(self._log.last_text(self.id))

    def _told(self, stop_reason: str, usage: TotalUsage, error: ModelError | None) -> TurnEnd:
        """What the app's hook is told of the end."""
        return TurnEnd(
            principal=self.principal,
            conversation=self._log.conversation,
            turn=self.id,
            model=self.model,
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
        del self.calls, self._answer, self._summarizer, self._clock

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
            if self._services.hooks.prepares:
                await self._prepare()
            else:
                # Here and not in `start`: its first step comes with it, and both are one commit.
                self._write_start([])
            self.end(await self._loop())
        except ModelError as error:
            self.end(StopReason.FAILED, error)
        except asyncio.CancelledError as cancelled:
            # `end` cancels the task only after `done`. Otherwise the process is going down.
            self.end(StopReason.INTERRUPTED)
            # The task keeps it, and the frames it came through know the task.
            forget_frames(cancelled)
            raise
        except Exception:
            # Boundary: the task's root. A turn that dies of our own mistake still ends.
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
        self._watch.see(event, private)
        was_resting = self._rest.is_resting
        self._rest.apply(event)
        if self._rest.is_resting is not was_resting:
            self._clock_or_rest()

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

    # The agent loop

    async def _loop(self) -> str:
        policy = self._services.policy
        while True:
            if self._summarizer.is_due(self.model, context_tokens=self._log.context_tokens()):
                await self._summarise()
            self._step += 1
            try:
                reason = await self._call_model()
            except ModelError as error:
                # What came since the last count was too long. Of an attempt that has spoken, the
                # next would have to take back what it said.
                is_too_long = error.code is Code.CONTEXT_TOO_LONG and self._answer.is_empty
                if is_too_long and await self._summarise():
                    continue
                raise
            self._has_answered = True
            if reason in _CUT_OFF:
                return reason
            if reason in _GOING_ON and self._answer.is_empty:
                # Here and not as a failed attempt: asked again, it would answer the same.
                raise ModelError(Code.INTERNAL, "the model's answer was empty")
            # Some gateways say `end_turn` where the model wants a tool, or name no tool and say
            # `tool_use`: what the answer holds decides.
            runs_tools = self.calls.are_waiting
            if not runs_tools and not (reason == "pause_turn" and self._has_said_something()):
                return StopReason.END_TURN if reason in _GOING_ON else reason
            if self._step >= policy.max_steps:
                return StopReason.MAX_STEPS
            if runs_tools:
                await self.calls.run()

    def _has_said_something(self) -> bool:
        """Whether another step would ask the model anything else than this one did."""
        return self._render(self._step + 1).prefix != self._prefix

    async def _summarise(self) -> bool:
        """One step in which the model summarises what is older; whether it did.

        The turn goes on either way.
        """
        if not self._summarizer.can(self.model):
            return False
        older = self._log.older(self._head(self._step + 1), step=self._step + 1)
        if older is None:
            return False
        self._step += 1
        self._attempt = 1
        self._begin_attempt(compacts=True)
        step = Step(**self.place(), step=self._step, attempt=1, model=self.model, compacts=True)
        self.write(step)
        try:
            return await self._summarizer.run(await self._request(older.messages), older)
        except ModelError as error:
            self._meter.fail()
            self._report(error)
            self._watch.fail(error)
            return False

    def _begin_attempt(self, *, compacts: bool = False) -> None:
        window = self._services.model.context(self.model).window
        self._answer.begin(step=self._step, attempt=self._attempt, window=window, compacts=compacts)
        self._meter.begin(self.model)

    async def _call_model(self) -> str:
        """One step: attempts until one succeeds, or another one makes no sense."""
        policy = self._services.policy
        self._attempt = 0
        drops_thinking = False
        """Set once the provider has refused the thinking of the history."""
        while True:
            self._attempt += 1
            self._begin_attempt()
            # Before its step is written, which keeps what the request shows.
            rendered = self._render(self._step, drops_thinking=drops_thinking)
            self._prefix = rendered.prefix
            private: Private = {"prefix": rendered.prefix}
            if drops_thinking:
                private["drops_thinking"] = True
            step = Step(**self.place(), step=self._step, attempt=self._attempt, model=self.model)
            self.write(step, private)
            try:
                return await self._attempt_step(rendered.messages)
            except ModelError as error:
                self._meter.fail()
                self._report(error)
                asks_again = (error.cause == "thinking" and not drops_thinking) or (
                    error.cause == "compaction" and not self._ignores_summary
                )
                drops_thinking |= error.cause == "thinking"
                self._ignores_summary |= error.cause == "compaction"
                if error.code is Code.OVERLOADED and policy.fallback_model is not None:
                    self.model = policy.fallback_model
                retries = policy.retries
                if error.max_retries is not None:
                    retries = min(retries, error.max_retries)
                if not asks_again and (not error.retryable or self._attempt > retries):
                    raise
                delay = (
                    0.0
                    if asks_again
                    else delay_seconds(
                        self._attempt,
                        base_seconds=policy.base_delay,
                        cap_seconds=policy.max_delay,
                        chance=self._services.chance(),
                        retry_after_seconds=error.retry_after_seconds,
                    )
                )
                self.write(
                    Retry(
                        **self.place(),
                        step=self._step,
                        attempt=self._attempt,
                        delay_seconds=delay,
                        code=error.code,
                        message=error.message,
                        request_id=error.request_id,
                    ),
                    error.private,
                )
            await asyncio.sleep(delay)

    def _render(self, step: int, *, drops_thinking: bool = False) -> Rendered:
        """The history as a request of that step shows it, behind system prompt and tools."""
        return self._log.render(
            self._head(step),
            step=step,
            drops_thinking=drops_thinking,
            ignores_summary=self._ignores_summary,
        )

    def _head(self, step: int) -> object:
        return (self._options.system, self._tools(step))

    def _tools(self, step: int) -> list[ToolForm]:
        """What the turn offers. If that is nothing, the tools that the history names.

        Providers refuse a request whose messages hold calls while it defines no tools.
        """
        return self.calls.specifications or [
            {"name": name, "description": "Not available now.", "input_schema": _ANY_OBJECT}
            for name in self._log.tool_names(step=step)
        ]

    def _tool_choice(self) -> ToolChoice | None:
        """One that forces a call holds for the first answer: the turn would never end."""
        choice = self._options.tool_choice
        return None if choice is not None and choice.is_forced and self._has_answered else choice

    def _report(self, error: ModelError) -> None:
        """A line for whoever runs the service, who needs the provider's own words to mend it."""
        words = error.provider or ProviderWords()
        logger.warning(
            "attempt %s",
            Fields(
                **self._watch.ids(),
                conversation=self._log.conversation,
                turn=self.id,
                step=self._step,
                attempt=self._attempt,
                model=self.model,
                code=error.code.value,
                status=words.status,
                type=words.type,
                error_code=words.code,
                request_id=words.request_id,
                # Last in the line of text: it may have spaces in it.
                said=words.message or error.message,
            ),
        )

    async def _attempt_step(self, messages: list[ApiMessage]) -> str:
        """One attempt: write the answer as it comes; returns its stop reason."""
        request = await self._request(messages)
        with self._watch.ask(request):
            async with self._services.model.stream(request) as stream:
                async for parts in stream:
                    for part in parts:
                        self._answer.take(part)
                        if part.__class__ is Stop:
                            # The answer is complete: an error after its end must not void it.
                            self._refusal = part.refusal
                            self._stop_sequence = part.sequence
                            self._watch.answer(part.reason, partial(self._said, len(messages)))
                            return part.reason
        raise ModelError(Code.NETWORK_ERROR, "the model's answer ended before its end")

    async def _request(self, messages: list[ApiMessage]) -> ModelRequest:
        options = self._options
        return ModelRequest(
            model=self.model,
            messages=await self._services.blobs.resolve(messages),
            max_tokens=options.max_tokens,
            system=options.system,
            thinking=options.thinking,
            effort=options.effort,
            temperature=options.temperature,
            top_p=options.top_p,
            top_k=options.top_k,
            stop_sequences=options.stop_sequences,
            output_schema=options.output_schema,
            user=user_id_of(self.principal) if self._services.policy.user_ids else None,
            tool_choice=self._tool_choice(),
            tools=self._tools(self._step),
            may_call_tools=bool(self.calls.specifications),
            container=self._log.container(),
            fallbacks=self._services.policy.fallbacks_of(self.model),
        )

    def _said(self, asked: int) -> list[ApiMessage]:
        """The messages of this step's answer: what follows those that it was asked."""
        return self._render(self._step + 1).messages[asked:]

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
