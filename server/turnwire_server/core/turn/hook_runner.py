"""Runs the app's hooks: each is foreign code, bounded in time, and its failure is a value here."""

import asyncio
import contextlib
import inspect
import json
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar

from turnwire_protocol import Code
from turnwire_server.core.turn.hooks import (
    CallContext,
    Document,
    Hooks,
    MessageContext,
    TurnContext,
    TurnEnd,
    TurnSetup,
)
from turnwire_server.errors import Cause, ModelError, Rejected
from turnwire_server.model.port import ApiBlock
from turnwire_server.tools.foreign import Foreign, Raised, Returned, TimedOut

__all__ = ["HookRunner"]

logger = logging.getLogger(__name__)

T = TypeVar("T")
ContextT = TypeVar("ContextT")

_MAX_ADDED_BYTES = 1024 * 1024
_BLOCKS = ("document", "image", "search_result", "text")


class HookRunner:
    """Asks the hooks that there are; for those that are not, the answer is that all is well."""

    def __init__(self, hooks: Hooks | None = None, *, state: Any = None) -> None:
        self.state = state
        """The app's: hooks and tools are given it."""
        self._hooks = hooks or Hooks()
        self._foreign = Foreign(max_threads=32, max_abandoned=32, stop_seconds=1.0)
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def admits(self) -> bool:
        """Whether messages are asked about before they are accepted."""
        return self._hooks.admit is not None

    @property
    def prepares(self) -> bool:
        """Whether turns are asked about as they begin."""
        return self._hooks.before_turn is not None

    async def admit(self, context: MessageContext) -> None:
        """
        Raises:
            Rejected: the message is not to be accepted.
        """
        if (hook := self._hooks.admit) is not None:
            await self._ask("admit", hook, context)

    async def before_turn(self, context: TurnContext) -> tuple[TurnSetup, list[ApiBlock]]:
        """What the turn gets, and its content in the form of the Messages API.

        Raises:
            ModelError: the turn is not to go on; its cause is `refused` where the hook says so.
        """
        hook = self._hooks.before_turn
        if hook is None:
            return TurnSetup(), []
        try:
            setup = await self._ask("before_turn", hook, context)
        except Rejected as refused:
            cause: Cause | None = None if isinstance(refused, _Failed) else "refused"
            raise ModelError(
                refused.code,
                refused.message,
                retryable=refused.retryable,
                retry_after_seconds=refused.retry_after_seconds,
                cause=cause,
            ) from None
        setup = TurnSetup() if setup is None else setup
        try:
            return setup, _blocks(setup)
        except (TypeError, ValueError, AttributeError) as error:
            logger.warning("the hook before_turn gave what no turn can take: %s", error)
            raise ModelError(Code.INTERNAL, "internal error") from None

    async def before_tool(self, context: CallContext) -> str | None:
        """Why the call must not run, in words for the model; None if it may."""
        if (hook := self._hooks.before_tool) is None:
            return None
        try:
            await self._ask("before_tool", hook, context)
        except _Failed:
            return "Not run: whether it is allowed could not be found out."
        except Rejected as refused:
            return f"This call is not allowed: {refused.message}"
        return None

    def after_turn(self, end: Callable[[], TurnEnd], stored: Callable[[], Awaitable[None]]) -> None:
        """Tell of a turn that has ended, once that is stored; `end` is called where it is told."""
        if (hook := self._hooks.after_turn) is None:
            return
        task = asyncio.create_task(self._tell(hook, end(), stored()), name="after_turn")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        """Wait for those that tell of an end; each has its time limit."""
        await asyncio.gather(*self._ending, return_exceptions=True)

    async def _tell(
        self,
        hook: Callable[[TurnEnd], Awaitable[None] | None],
        end: TurnEnd,
        stored: Awaitable[None],
    ) -> None:
        # Where the conversation is gone, what was used was used all the same.
        with contextlib.suppress(Rejected):
            await stored
        try:
            await self._ask("after_turn", hook, end)
        except Rejected as refused:
            if not isinstance(refused, _Failed):
                logger.warning("the hook after_turn refused a turn that is over: %s", refused)

    async def _ask(
        self, name: str, hook: Callable[[ContextT], Awaitable[T] | T], context: ContextT
    ) -> T:
        """
        Raises:
            Rejected: the hook says so; a `_Failed` where it failed or took too long.
        """
        title, timeout = f"the hook {name}", self._hooks.timeout_seconds
        if _is_async(hook):
            ended = await self._foreign.run_async(
                title, lambda: _awaited(hook, context), timeout_seconds=timeout
            )
        else:
            ended = await self._foreign.run_sync(
                title, lambda: _returned(hook, context), timeout_seconds=timeout
            )
        match ended:
            case Returned(value):
                return value
            case Raised(Rejected() as refused):
                raise refused
            case Raised(error):
                logger.warning("%s failed", title, exc_info=error)
                raise _Failed(Code.INTERNAL, "internal error")
            case TimedOut():
                logger.warning("%s took longer than %g seconds", title, timeout)
                raise _Failed(Code.TIMEOUT, "the service did not decide in time")
            case _:
                logger.warning("%s was not asked: too many calls have not ended", title)
                raise _Failed(Code.TIMEOUT, "the service did not decide in time")


class _Failed(Rejected):
    """The hook has said nothing: it failed, or took too long."""


def _is_async(hook: object) -> bool:
    # An object may be a hook, too: it is asked for its method, not whether it has one.
    method = getattr(hook, "__call__", None)  # noqa: B004
    return inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(method)


async def _awaited(hook: Callable[[ContextT], Awaitable[T] | T], context: ContextT) -> T:
    given = hook(context)
    return await given if inspect.isawaitable(given) else given


def _returned(hook: Callable[[ContextT], Awaitable[T] | T], context: ContextT) -> T:
    given = hook(context)
    if inspect.isawaitable(given):
        raise TypeError(f"{hook!r:.80} gave an awaitable: declare it with `async def`")
    return given


def _blocks(setup: TurnSetup) -> list[ApiBlock]:
    """
    Raises:
        TypeError, ValueError, AttributeError: they are none.
    """
    for name in ("system", "model"):
        text = getattr(setup, name)
        if not isinstance(text, str | None):
            raise TypeError(f"{name}: is no text")
        (text or "").encode()  # Half a surrogate pair could be neither stored nor sent.
    blocks = list(_each(setup.content))
    # Exactly as in a request: what cannot be sent would be in the way of all later turns, too.
    size = len(json.dumps(blocks, allow_nan=False, ensure_ascii=False).encode())
    if size > _MAX_ADDED_BYTES:
        raise ValueError(f"content: {size} bytes, at most {_MAX_ADDED_BYTES}")
    return blocks


def _each(content: Iterable[str | Document | Mapping[str, Any]]) -> Iterable[ApiBlock]:
    if isinstance(content, str):
        raise TypeError("content: is a text, and no list")
    for given in content:
        if isinstance(given, str):
            block: ApiBlock = {"type": "text", "text": given}
        elif isinstance(given, Document):
            block = given.block()
        else:
            block = dict(given)
        if block.get("type") not in _BLOCKS:
            raise ValueError(f"content: no block of type {block.get('type')!r:.40}")
        source = block.get("source")
        if isinstance(source, dict) and source.get("type") == "blob":
            # Blobs live as long as a message or a result names them, which this is not.
            raise ValueError("content: a blob must stand in a message")
        if block["type"] != "text" or str(block.get("text", "")).strip():  # The API refuses blanks.
            yield block
