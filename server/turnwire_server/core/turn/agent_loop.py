"""The agent loop: what a turn asks of the model, step after step, attempt after attempt.

Knows nothing of how a turn begins and ends: it is one task, which may be cancelled wherever it
waits, and what it still writes then is dropped.
"""

import asyncio
import logging
from functools import partial
from typing import Any, Literal

from turnwire_protocol import Code, Refusal, Retry, Step, StopReason, ToolChoice
from turnwire_server.core.folded_log import FoldedLog
from turnwire_server.core.history.history import Rendered
from turnwire_server.core.log.items import Private
from turnwire_server.core.telemetry import TurnWatch
from turnwire_server.core.turn.answer_writer import AnswerWriter
from turnwire_server.core.turn.backoff import delay_seconds
from turnwire_server.core.turn.options import Options, user_id_of
from turnwire_server.core.turn.services import Services
from turnwire_server.core.turn.summarizer import Summarizer
from turnwire_server.core.turn.tool_calls import ToolCalls
from turnwire_server.core.turn.usage import UsageMeter
from turnwire_server.core.turn.writer import TurnWriter
from turnwire_server.errors import ModelError, ProviderWords
from turnwire_server.log_fields import Fields
from turnwire_server.model.port import ApiMessage, ModelRequest, Stop, ToolForm

__all__ = ["AgentLoop"]

logger = logging.getLogger("turnwire.turn")

_CUT_OFF = frozenset(
    {StopReason.MAX_TOKENS, StopReason.REFUSAL, StopReason.MODEL_CONTEXT_WINDOW_EXCEEDED}
)
"""After these a call is not run, complete or not: the answer did not come to its end."""
_GOING_ON = ("tool_use", "pause_turn")
"""Reasons after which the model expects to be called again."""
_ANY_OBJECT: dict[str, Any] = {"type": "object"}


class AgentLoop:
    """Of one turn."""

    def __init__(
        self,
        writer: TurnWriter,
        *,
        turn: str,
        principal: str,
        options: Options,
        services: Services,
        log: FoldedLog,
        calls: ToolCalls,
        meter: UsageMeter,
        watch: TurnWatch,
    ) -> None:
        self.model = options.model
        """The model of the next attempt."""
        self.options = options
        self.step = 0
        """How many there were."""
        self.refusal: Refusal | None = None
        """Why the model refused, if it did and says so."""
        self.stop_sequence: str | None = None
        self.answer = AnswerWriter(writer, calls, meter, watch, services.tally)
        self._writer = writer
        self._turn = turn
        self._principal = principal
        self._services = services
        self._log = log
        self._calls = calls
        self._meter = meter
        self._watch = watch
        self._summarizer = Summarizer(
            services.model, self.answer, at=services.policy.compact_at, watch=watch
        )
        self._attempt = 0
        self._ignores_summary = False
        """Set once the summary was refused: it may be another model, or another provider."""
        self._has_answered = False
        """Whether a step of it has ended that was no summary."""
        self._prefix = ""
        """Of the last request; see `core.history`."""
        self._opened: list[ApiMessage] | None = None
        """What the first step shows the model, where that step is written before the turn runs."""

    def open(self) -> None:
        """Write the first step before the turn runs, if that is a call which can be told by now:
        what is appended together is one commit."""
        if not self._is_summary_due():
            self.step += 1
            self._attempt = 1
            self._opened = self._write_attempt()

    def change(self, *, system: str | None, model: str | None) -> None:
        """Run with another system prompt or model, where one is given. Before it runs."""
        self.options = self.options.changed(system=system, model=model)
        self.model = self.options.model

    async def run(self) -> str:
        """Until nothing is left to do; gives the reason.

        Raises:
            ModelError: it failed.
        """
        policy = self._services.policy
        while True:
            if self._opened is None:
                if self._is_summary_due():
                    await self._summarise()
                self.step += 1
                self._attempt = 0
            try:
                reason = await self._call_model()
            except ModelError as error:
                # What came since the last count was too long. Of an attempt that has spoken, the
                # next would have to take back what it said.
                is_too_long = error.code is Code.CONTEXT_TOO_LONG and self.answer.is_empty
                if is_too_long and await self._summarise():
                    continue
                raise
            self._has_answered = True
            if reason in _CUT_OFF:
                return reason
            if reason in _GOING_ON and self.answer.is_empty:
                # Here and not as a failed attempt: asked again, it would answer the same.
                raise ModelError(Code.INTERNAL, "the model's answer was empty")
            # Some gateways say `end_turn` where the model wants a tool, or name no tool and say
            # `tool_use`: what the answer holds decides.
            runs_tools = self._calls.are_waiting
            if not runs_tools and not (reason == "pause_turn" and self._has_said_something()):
                return StopReason.END_TURN if reason in _GOING_ON else reason
            if self.step >= policy.max_steps:
                return StopReason.MAX_STEPS
            if runs_tools:
                await self._calls.run()

    def _has_said_something(self) -> bool:
        """Whether another step would ask the model anything else than this one did."""
        return self._render(self.step + 1).prefix != self._prefix

    def _is_summary_due(self) -> bool:
        return self._summarizer.is_due(self.model, context_tokens=self._log.context_tokens())

    async def _summarise(self) -> bool:
        """One step in which the model summarises what is older; whether it did.

        The turn goes on either way.
        """
        if not self._summarizer.can(self.model):
            return False
        older = self._log.older(self._head(self.step + 1), step=self.step + 1)
        if older is None:
            return False
        self.step += 1
        self._attempt = 1
        self._begin_attempt(compacts=True)
        self._write_step(compacts=True)
        try:
            return await self._summarizer.run(await self._request(older.messages), older)
        except ModelError as error:
            self._meter.fail()
            self._report(error)
            self._watch.fail(error)
            return False

    def _begin_attempt(self, *, compacts: bool = False) -> None:
        window = self._services.model.context(self.model).window
        self.answer.begin(step=self.step, attempt=self._attempt, window=window, compacts=compacts)
        self._meter.begin(self.model)

    def _write_step(
        self, private: Private | None = None, *, compacts: Literal[True] | None = None
    ) -> None:
        place, attempt = self._writer.place(), self._attempt
        step = Step(**place, step=self.step, attempt=attempt, model=self.model, compacts=compacts)
        self._writer.write(step, private)

    async def _call_model(self) -> str:
        """One step: attempts until one succeeds, or another one makes no sense."""
        policy = self._services.policy
        drops_thinking = False
        """Set once the provider has refused the thinking of the history."""
        while True:
            messages, self._opened = self._opened, None
            if messages is None:
                self._attempt += 1
                messages = self._write_attempt(drops_thinking=drops_thinking)
            self._begin_attempt()
            try:
                return await self._attempt_step(messages)
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
                self._writer.write(
                    Retry(
                        **self._writer.place(),
                        step=self.step,
                        attempt=self._attempt,
                        delay_seconds=delay,
                        code=error.code,
                        message=error.message,
                        request_id=error.request_id,
                    ),
                    error.private,
                )
            await asyncio.sleep(delay)

    def _write_attempt(self, *, drops_thinking: bool = False) -> list[ApiMessage]:
        """Write that the attempt begins; gives what it shows the model."""
        # Before its step is written, which keeps what the request shows.
        rendered = self._render(self.step, drops_thinking=drops_thinking)
        self._prefix = rendered.prefix
        private: Private = {"prefix": rendered.prefix}
        if drops_thinking:
            private["drops_thinking"] = True
        self._write_step(private)
        return rendered.messages

    def _render(self, step: int, *, drops_thinking: bool = False) -> Rendered:
        """The history as a request of that step shows it, behind system prompt and tools."""
        return self._log.render(
            self._head(step),
            step=step,
            drops_thinking=drops_thinking,
            ignores_summary=self._ignores_summary,
        )

    def _head(self, step: int) -> object:
        return (self.options.system, self._tools(step))

    def _tools(self, step: int) -> list[ToolForm]:
        """What the turn offers. If that is nothing, the tools that the history names.

        Providers refuse a request whose messages hold calls while it defines no tools.
        """
        return self._calls.specifications or [
            {"name": name, "description": "Not available now.", "input_schema": _ANY_OBJECT}
            for name in self._log.tool_names(step=step)
        ]

    def _tool_choice(self) -> ToolChoice | None:
        """One that forces a call holds for the first answer: the turn would never end."""
        choice = self.options.tool_choice
        return None if choice is not None and choice.is_forced and self._has_answered else choice

    def _report(self, error: ModelError) -> None:
        """A line for whoever runs the service, who needs the provider's own words to mend it."""
        words = error.provider or ProviderWords()
        logger.warning(
            "attempt %s",
            Fields(
                **self._watch.ids(),
                conversation=self._log.conversation,
                turn=self._turn,
                step=self.step,
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
                        self.answer.take(part)
                        if part.__class__ is Stop:
                            # The answer is complete: an error after its end must not void it.
                            self.refusal = part.refusal
                            self.stop_sequence = part.sequence
                            self._watch.answer(part.reason, partial(self._said, len(messages)))
                            return part.reason
        raise ModelError(Code.NETWORK_ERROR, "the model's answer ended before its end")

    async def _request(self, messages: list[ApiMessage]) -> ModelRequest:
        options = self.options
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
            user=user_id_of(self._principal) if self._services.policy.user_ids else None,
            tool_choice=self._tool_choice(),
            tools=self._tools(self.step),
            may_call_tools=bool(self._calls.specifications),
            container=self._log.container(),
            fallbacks=self._services.policy.fallbacks_of(self.model),
        )

    def _said(self, asked: int) -> list[ApiMessage]:
        """The messages of this step's answer: what follows those that it was asked."""
        return self._render(self.step + 1).messages[asked:]
