"""The log and its folds: a message that is taken back takes nothing else with it."""

from tests.kit.fence import fence_of
from tests.server.core.test_durable_log import IDLE, REFUSED
from turnwire_protocol import BlockStop, Message, Start, Token
from turnwire_server.core.folded_log import FoldedLog
from turnwire_server.core.log.committer import Committer
from turnwire_server.core.log.durable_log import DurableLog
from turnwire_server.store.memory import MemoryStore


async def test_what_comes_in_place_of_a_message_that_was_taken_back_is_in_the_history() -> None:
    store = MemoryStore()
    log = DurableLog("c_1", store, Committer(store), IDLE)
    log.hold(await fence_of(store, "c_1", "ann", "e_1"))
    folded = FoldedLog(log)
    folded.write(Message(**folded.place("t_1"), content="Hi"))
    folded.write(Start(**folded.place("t_1"), model="m"))
    folded.write(Message(**folded.place("t_2"), content="It waits"))
    folded.catch_up()
    folded.withdraw(folded.index.of("t_2"), REFUSED)
    folded.write_delta(Token, "t_1", 0, "Hello")
    folded.write(BlockStop(**folded.place("t_1"), block=0))
    assert folded.last_text("t_1") == "Hello"
