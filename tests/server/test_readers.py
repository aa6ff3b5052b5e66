"""All readers of a conversation see the same, whatever they read by and whenever they came."""

from tests.kit.service import serving, turnwire_over
from tests.kit.sse import listening
from tests.kit.wire import narrow, wired
from turnwire_protocol import parse_event, span_of
from turnwire_simulator import Answer, Gate, Simulator, Text, ToolUse

WORDS = [f"{number:04d} " + "x" * 195 for number in range(1000)]


def clock() -> str:
    """The time."""
    return "noon"


async def test_the_same_fold_over_websocket_sse_late_and_after_a_pause_of_1000_tokens(
    simulator: Simulator,
) -> None:
    gate = Gate()
    simulator.program(Answer(Text(WORDS)).at(3, gate))
    turnwire = turnwire_over(simulator, limits={"max_frame_bytes": 2**20})
    async with (
        serving(turnwire, send_buffer_bytes=4096) as address,
        wired(address) as first,
        narrow(address) as paused,
    ):
        ack = await first.ask("send", content="hi")
        conversation = ack["conversation"]
        await paused.ask("subscribe", conversation=conversation)
        path = f"/v1/conversations/{conversation}/events"
        async with listening(address, path) as sse:
            await gate.reached()
            gate.open()
            await first.until("done")
            await sse.until("done")
            async with wired(address) as late:
                await late.ask("subscribe", conversation=conversation)
                await late.until("done")
            await paused.until("done")
        expected = first.fold(conversation).to_dict()
        assert expected["turns"][0]["blocks"][0]["text"] == "".join(WORDS)
        assert sse.fold().to_dict() == expected
        assert late.fold(conversation).to_dict() == expected
        assert paused.fold(conversation).to_dict() == expected
        merged = [event for event in paused.events if span_of(event) > 1]
        assert len(paused.events) < 900
        assert merged


async def test_every_reader_is_given_a_contiguous_log(address: str, simulator: Simulator) -> None:
    simulator.program(Answer(Text(WORDS[:50])))
    async with wired(address) as wire:
        ack = await wire.ask("send", content="hi")
        done = await wire.until("done")
        async with listening(address, f"/v1/conversations/{ack['conversation']}/events") as sse:
            await sse.until("done")
    over_sse = [parse_event(sent.data) for sent in sse.sent]
    for events in (wire.events, over_sse):
        cursor = 0
        for event in events:
            assert event.seq - span_of(event) == cursor
            cursor = event.seq
        assert cursor == done["seq"]


async def test_a_cursor_inside_a_merged_run_gets_exactly_the_rest(
    address: str, simulator: Simulator
) -> None:
    simulator.program(Answer(Text(WORDS[:20])))
    async with wired(address) as wire:
        conversation = (await wire.ask("send", content="hi"))["conversation"]
        await wire.until("done")
    async with wired(address) as whole:
        await whole.ask("subscribe", conversation=conversation)
        run = await whole.until("token")
        assert run["span"] == 20
    for kept in (1, 7, 19):
        after = run["seq"] - 20 + kept
        async with wired(address) as rest:
            await rest.ask("subscribe", conversation=conversation, after=after)
            token = await rest.receive()
        assert token["text"] == "".join(WORDS[kept:20])
        assert (token["seq"], token.get("span", 1)) == (run["seq"], 20 - kept)


async def test_conversations_interleave_on_one_socket_with_their_tool_events(
    simulator: Simulator,
) -> None:
    gates = [Gate(), Gate()]
    for gate in gates:
        simulator.program(
            Answer(Text(["a", "b"]), ToolUse("clock", {}), stop_reason="tool_use").at(4, gate)
        )
    async with serving(turnwire_over(simulator, tools=[clock])) as address, wired(address) as wire:
        one = (await wire.ask("send", content="one"))["conversation"]
        await gates[0].reached()
        two = (await wire.ask("send", content="two"))["conversation"]
        await gates[1].reached()
        while {one, two} != {event.conversation for event in wire.events if event.type == "token"}:
            await wire.receive()
        simulator.program(Answer(Text(["end"])), Answer(Text(["end"])))
        gates[1].open()
        await wire.until("done", conversation=two)
        gates[0].open()
        await wire.until("done", conversation=one)
        for conversation in (one, two):
            events = [event for event in wire.events if event.conversation == conversation]
            assert [event.seq - span_of(event) for event in events] == [
                0,
                *(event.seq for event in events[:-1]),
            ]
            assert {"tool_start", "tool_executing", "tool_result"} <= {
                event.type for event in events
            }
            (turn,) = wire.fold(conversation).turns
            assert turn.text == "abend"
