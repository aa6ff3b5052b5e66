"""Recovery: the end of a turn whose process died says what it had used."""

from tests.server.core.log_author import Author
from turnwire_protocol import Done, Token, TotalUsage, Usage
from turnwire_server.core.log.items import Entry, Place
from turnwire_server.core.recovery import Recovery
from turnwire_server.core.turn.usage import Price


def test_the_end_of_a_turn_that_was_cut_off_has_its_cost_where_the_price_is_known() -> None:
    author = Author.new()
    author.ask("t_1")
    author.step()
    author.log.append_delta(Token, "t_1", 0, "x" * 40)
    at = Place(conversation="c_1", seq=99, turn="t_1", at="2026-11-20T12:00:01Z")
    ends = []
    prices = {"claude-simulated-opus": Price(input=1, output=100_000)}
    for price_of in (lambda model: None, prices.get):
        recovery = Recovery(price_of)
        for item in author.log.read(0, author.log.head):
            recovery.apply(item)
        (end,) = recovery.missing(lambda turn: at)
        assert isinstance(end, Done)
        ends.append((end.usage, end.cost_usd))
    usage = TotalUsage(output_tokens=10, estimated=True)
    assert ends == [(usage, None), (usage, 1.0)]


def test_the_counts_of_another_model_that_goes_on_are_not_taken_for_the_last() -> None:
    author = Author.new()
    author.ask("t_1")
    author.step()
    place = Place(conversation="c_1", seq=99, turn="t_1", at="2026-11-20T12:00:01Z")
    recovery = Recovery({"claude-b": Price(input=1_000_000, output=0)}.get)
    for item in author.log.read(0, author.log.head):
        recovery.apply(item)
    ends = []
    for model in (None, "claude-b", "claude-b"):
        usage = Usage(
            **place,
            step=1,
            attempt=1,
            input_tokens=5,
            output_tokens=1,
            cache_read_input_tokens=0,
            cache_creation_input_tokens=0,
            model=model,
        )
        recovery.apply(Entry(usage))
        (end,) = recovery.missing(lambda turn: place)
        assert isinstance(end, Done)
        ends.append((end.usage.estimated, end.cost_usd))
    assert ends == [(True, None), (True, 5.0), (None, 5.0)]
