"""Odd answers, failures, restarts with other tools and prompts, other clients: it always goes on.

After every rule a plain message is answered over the strict simulator; the model is asked exactly
as often as the log says; and no tool runs that the log does not name.
"""

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.kit.chat import MODEL
from tests.kit.oracle import check_log
from tests.kit.patience import patience
from tests.kit.postgres import fresh_url
from tests.kit.service import turnwire_over
from turnwire_protocol import (
    ClientTool,
    Done,
    Event,
    SendBody,
    Step,
    ToolExecuting,
    ToolOutput,
    ToolResult,
)
from turnwire_server import ToolContext, Turnwire, tool
from turnwire_simulator import (
    Answer,
    Cut,
    Fault,
    ProviderTool,
    RedactedThinking,
    Simulator,
    Text,
    Thinking,
    ToolUse,
    Unknown,
)
from turnwire_simulator.api import Item

T = TypeVar("T")

ANNA = "anna"
RUNNER = "r_1"
LOOK = ClientTool(name="look", description="Look.", input_schema={"type": "object"})
DONE = Answer(Thinking("I see."), Text("Done."))


def calls(*names: str, ids: str | None = None, reason: str = "tool_use") -> Answer:
    """Thinking, and a call of each tool; with `ids` all have the same id."""
    uses = [ToolUse(name, {}, id=ids) for name in names]
    return Answer(Thinking(["Let", " me"]), *uses, stop_reason=reason)


ODDITIES: dict[str, list[Item]] = {
    "plain": [DONE],
    "calls": [calls("note", "note"), DONE],
    "many calls": [calls(*["note"] * 12), calls("count"), DONE],
    "a client's tool": [calls("look", "note"), DONE],
    "one id twice": [calls("note", "note", ids="call_0"), DONE],
    "the id of before": [calls("note", ids="call_0"), calls("count", ids="call_0"), DONE],
    "an id that is none": [calls("note", ids="no id!"), DONE],
    "a name that is none": [calls('note" />', "", "x" * 300), DONE],
    "a tool that is not there": [calls("gone"), DONE],
    "a tool that fails": [calls("fail"), DONE],
    "calls and end_turn": [calls("note", reason="end_turn"), DONE],
    "calls and a new reason": [calls("note", reason="novel"), DONE],
    "calls cut off": [calls("note", reason="max_tokens")],
    "calls refused": [calls("note", reason="refusal")],
    "tool_use without a call": [Answer(Text("Let me."), stop_reason="tool_use")],
    "tool_use without anything": [Answer(stop_reason="tool_use")],
    "pause without anything new": [Answer(Text(" "), stop_reason="pause_turn")],
    "a pause": [
        # Made anew each time: ids of the provider's own calls do not come again.
        lambda body: Answer(ProviderTool("web_search", {"q": "x"}, None), stop_reason="pause_turn"),
        Answer(Text("Found.")),
    ],
    "an empty answer": [Answer()],
    "blocks that nobody knows": [Answer(RedactedThinking(), Unknown(), Text("Hm."))],
    "input that is no JSON": [
        Answer(ToolUse("note", {}, deltas=['{"a']), stop_reason="tool_use"),
        DONE,
    ],
    "cut in thinking": [Answer(Thinking(["a", Cut()])), DONE],
    "cut in a call": [Answer(Text("a"), ToolUse("note", {}, deltas=[Cut()])), DONE],
    "cut at the end": [calls("note", reason="tool_use").at(3, Cut()), DONE],
    "too long": [Fault(400, "invalid_request_error", "prompt is too long: 9 tokens > 1 maximum")],
    "too large": [Fault(413)],
    "no credit": [Fault(400, "invalid_request_error", "Your credit balance is too low")],
    "overloaded": [Fault(529), DONE],
    "overloaded in the second step": [calls("note"), Fault(529), DONE],
    "overloaded for good": [Fault(529)] * 3,
    "limited": [Fault(429), DONE],
    "the wrong key": [Fault(401)],
}
SYSTEMS = st.sampled_from([None, "You are one.", "You are another."])
OFFERS = st.sets(st.sampled_from(["note", "count", "fail"]))


class Odd(RuleBasedStateMachine):
    """One conversation that lives through all of it."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.ran = Counter[str]()
        self.asked = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it on this machine's loop, bounded."""
        return self.runner.run(_bounded(work))

    @initialize(offers=OFFERS, system=SYSTEMS)
    def begin(self, offers: set[str], system: str | None) -> None:
        """A service, and a conversation with a first message."""
        self.folder = Path(tempfile.mkdtemp(prefix="turnwire-"))
        self.db = self._fresh()
        self.conversation: str | None = None
        self.run(self._begin(offers, system))

    def _fresh(self) -> str:
        """A database that nobody has used."""
        return str(self.folder / "chat.db")

    async def _begin(self, offers: set[str], system: str | None) -> None:
        self.simulator = Simulator()
        await self.simulator.__aenter__()
        self.turnwire = await self._started(offers, system)
        await self._ask([DONE])

    async def _started(self, offers: set[str], system: str | None) -> Turnwire:
        self.offers = offers
        turnwire = turnwire_over(
            self.simulator,
            db=self.db,
            tools=[self._tool(name) for name in sorted(offers)],
            system=system,
            model=MODEL,
            retries=2,
            client_options=["tools", "system"],
        )
        await turnwire.start()
        return turnwire

    def _tool(self, name: str) -> object:
        async def act(context: ToolContext) -> str:
            self.ran[context.tool_id] += 1
            if name == "fail":
                raise ValueError("it fails")
            return f"{name} did"

        return tool(name=name, description=name)(act)

    @rule(offers=OFFERS, system=SYSTEMS)
    def start_again(self, offers: set[str], system: str | None) -> None:
        """Another process, with other tools and another prompt."""
        self.run(self._restart(offers, system))

    async def _restart(self, offers: set[str], system: str | None) -> None:
        await self.turnwire.close()
        self.turnwire = await self._started(offers, system)
        await self._ask([DONE])

    @rule(name=st.sampled_from(sorted(ODDITIES)), has_tool=st.booleans())
    def turn(self, name: str, has_tool: bool) -> None:
        """A turn with an oddity, perhaps of a client that runs a tool; then a plain one."""
        client: dict[str, Any] = {"client_tools": [LOOK], "runner": RUNNER} if has_tool else {}
        self.run(self._ask(ODDITIES[name], **client))
        self.run(self._ask([DONE]))

    @rule(names=OFFERS, system=SYSTEMS)
    def other_client(self, names: set[str], system: str | None) -> None:
        """Somebody chooses other tools and another prompt for one message."""
        tools = sorted(names & self.offers)
        self.run(self._ask([DONE], tools=tools, system=system))

    async def _ask(self, answers: list[Item], **options: Any) -> None:
        """Send, answer what is asked of the client, and read to the end; then compare."""
        for answer in answers:
            self.simulator.program(answer)
        asked = len(self.simulator.requests)
        self.asked += 1
        send = SendBody(content=f"Go on {self.asked}", conversation=self.conversation, **options)
        accepted = await self.turnwire.hub.send(ANNA, send)
        await accepted.durable
        self.conversation = accepted.ack.conversation
        events = await self._read(accepted.follow, accepted.ack.turn or "")
        assert self.simulator.rejections == [], "no request that the API would not take"
        steps = [event for event in events if isinstance(event, Step)]
        assert len(self.simulator.requests) - asked == len(steps) <= len(answers)
        if answers == [DONE]:
            [done] = [event for event in events if isinstance(event, Done)]
            assert done.stop_reason == "end_turn", "it goes on"
        self.simulator.take_back()

    async def _read(self, follow: Callable[[Callable[[], None]], Any], turn: str) -> list[Event]:
        woken = asyncio.Event()
        follower = follow(woken.set)
        events: list[Event] = []
        while True:
            woken.clear()
            for event in await follower.events():
                events.append(event)
                if isinstance(event, ToolExecuting) and event.runs_on == "client":
                    await self._output(event)
                if isinstance(event, Done) and event.turn == turn:
                    follower.close()
                    return [event for event in events if event.turn == turn]
            if not follower.is_behind:
                await woken.wait()

    async def _output(self, call: ToolExecuting) -> None:
        self.ran[call.tool_id] += 1
        output = ToolOutput(
            id="1",
            conversation=call.conversation,
            tool_id=call.tool_id,
            runner=RUNNER,
            content="seen",
        )
        await self.turnwire.hub.submit(ANNA, output)

    def teardown(self) -> None:
        """The whole log, against what was seen to happen."""
        self.run(self._end())
        self.runner.close()
        shutil.rmtree(self.folder)

    async def _end(self) -> None:
        assert self.conversation is not None
        follower, head = await self.turnwire.hub.follow(
            ANNA, self.conversation, after=0, epoch=None, wake=lambda: None
        )
        log: list[Event] = []
        while follower.after < head:
            log += await follower.events()
        check_log(log)
        executed = Counter(event.tool_id for event in log if isinstance(event, ToolExecuting))
        assert self.ran == executed, "each call ran once, and no other did"
        results = Counter(event.tool_id for event in log if isinstance(event, ToolResult))
        assert set(results.values()) <= {1}, results
        await self.turnwire.close()
        await self.simulator.__aexit__(None, None, None)


async def _bounded(work: Coroutine[Any, Any, T]) -> T:
    async with patience():
        return await work


class OddOnPostgres(Odd):
    """The same, where what is said is stored elsewhere."""

    def _fresh(self) -> str:
        return fresh_url()


_SETTINGS = settings(
    derandomize=True,
    database=None,
    max_examples=15,
    stateful_step_count=12,
    deadline=None,
    # Without shrinking: a failure is mostly a wait that does not end, and each takes its time.
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
TestOdd = Odd.TestCase
TestOdd.settings = _SETTINGS
TestOddOnPostgres = OddOnPostgres.TestCase
# Of what may happen, most is in the core. Here it is the store's part again.
TestOddOnPostgres.settings = settings(_SETTINGS, max_examples=3)
