"""What PROTOCOL.md says beside its tables: a client that was written from it had asked for it."""

from tests.kit.service import by_name, serving, turnwire_over
from tests.kit.sse import asking
from tests.kit.wire import opened, wired
from turnwire_simulator import Answer, Simulator, Text, ToolUse


async def test_a_client_without_a_token_learns_by_a_ping_whether_one_is_wanted(
    simulator: Simulator,
) -> None:
    turnwire = turnwire_over(
        simulator, authenticate=by_name, limits={"hello_timeout_seconds": 3600.0}
    )
    async with serving(turnwire) as address, opened(address) as wire:
        refused = await wire.ask("ping")
        assert (refused["type"], refused["code"]) == ("reject", "unauthorized")
        await wire.send("hello", token="anna")
        await wire.until("welcome")


async def test_the_ack_of_a_subscribe_has_no_conversation_and_the_cursor_of_the_log_there_is(
    address: str,
) -> None:
    async with wired(address) as wire, wired(address) as other:
        sent = await wire.ask("send", content="Hi")
        await wire.end(sent["turn"])
        chat = {"conversation": sent["conversation"]}
        ack = await other.ask("subscribe", after=3, epoch=sent["epoch"], **chat)
        head = wire.events[-1].seq
        assert ack == {**ack, "head": head, "epoch": sent["epoch"], "after": 3}
        assert ack.keys() == {"type", "id", "head", "epoch", "after"}
        for cursor in ({"after": 3, "epoch": "another"}, {"after": 10_000}):
            ack = await other.ask("subscribe", **cursor, **chat)
            assert (ack["epoch"], ack["after"], ack["head"]) == (sent["epoch"], 0, head)
            reset = await other.receive()
            assert (reset["type"], reset["epoch"]) == ("reset", sent["epoch"])
            assert (await other.receive())["seq"] == 1


async def test_a_conversation_that_was_deleted_meanwhile_is_unknown_to_who_comes_back(
    address: str,
) -> None:
    async with wired(address) as wire:
        sent = await wire.ask("send", content="Hi", key="k-1")
        await wire.end(sent["turn"])
    async with asking(address) as http:
        await http.delete(f"/v1/conversations/{sent['conversation']}")
    chat = {"conversation": sent["conversation"]}
    async with wired(address) as wire:
        # Ids are those of one connection: the same may be used again.
        for type, fields in (("subscribe", {"after": 2, "epoch": sent["epoch"]}), ("send", {})):
            more = {"content": "Hi", "key": "k-2"} if type == "send" else fields
            refused = await wire.ask(type, **chat, **more)
            assert (refused["code"], refused["retryable"]) == ("unknown_conversation", False)


async def test_a_rename_is_told_to_no_reader_and_an_export_has_the_fold(address: str) -> None:
    async with wired(address) as wire, asking(address) as http:
        sent = await wire.ask("send", content="First words of it")
        await wire.end(sent["turn"])
        path = f"/v1/conversations/{sent['conversation']}"
        assert (await http.get(path)).json()["title"] == "First words of it"
        assert (await http.patch(path, json={"title": "Another"})).status_code == 204
        for title in ("", "x" * 201):
            assert (await http.patch(path, json={"title": title})).status_code == 400
        head = (await wire.ask("subscribe", after=0, conversation=sent["conversation"]))["head"]
        assert head == wire.events[-1].seq
        exported = await http.get(f"{path}/export", params={"format": "json"})
        assert exported.headers["content-disposition"].startswith("attachment")
        read = (await http.get(path)).json()
        del read["epoch"]
        assert exported.json() == {**read, "title": "Another"}


async def test_a_call_that_never_ran_took_no_time(simulator: Simulator) -> None:
    simulator.program(Answer(ToolUse("absent", {})), Answer(Text("Ok.")))
    async with serving(turnwire_over(simulator)) as address, wired(address) as wire:
        sent = await wire.ask("send", content="Hi")
        await wire.end(sent["turn"])
        (call,) = (block for block in wire.fold(sent["conversation"]).turns[0].blocks if block.tool)
        assert call.tool is not None
        assert call.tool.result is not None
        assert (call.tool.result.is_error, call.tool.result.duration_ms) == (True, 0)
