"""What every store does alike."""

from datetime import UTC, datetime

from tests.kit.fence import fence_of
from tests.server.store.store_rows import batch_of, bodies_of, fill, join_all, row_body
from turnwire_server.store.port import Batch, Claim, Fence, Head, Row, Spent, Store


async def test_a_conversation_exists_with_its_first_batch_and_not_by_a_claim(store: Store) -> None:
    fence = await fence_of(store, "c_1")
    assert fence == Fence("c_1", "ann", "epoch")
    assert await store.head("c_1") is None
    await store.append([batch_of(fence, 1, 3, title="Hello")])
    head = await store.head("c_1")
    assert head is not None
    assert head == Head("c_1", "ann", "epoch", 3, "Hello", head.created_at, head.created_at)
    assert datetime.fromisoformat(head.created_at).tzinfo == UTC


async def test_an_existing_log_keeps_its_owner_and_epoch_at_a_claim(store: Store) -> None:
    await fill(store, "c_1", 1, owner="ann")
    assert await fence_of(store, "c_1", "bob", "other") == Fence("c_1", "ann", "epoch")


async def test_batches_of_several_conversations_are_read_back_in_order(store: Store) -> None:
    one = await fence_of(store, "c_1")
    two = await fence_of(store, "c_2")
    await store.append([batch_of(one, 1, 2), batch_of(two, 1), batch_of(one, 3, 9)])
    assert await bodies_of(store, "c_1") == [row_body(1, 2), row_body(3, 9)]
    assert await bodies_of(store, "c_2") == [row_body(1, 1)]
    assert await bodies_of(store, "c_3") == []


async def test_reading_begins_with_the_batch_that_holds_the_next_seq(store: Store) -> None:
    fence = await fence_of(store, "c_1")
    await store.append([batch_of(fence, 1, 2), batch_of(fence, 3, 9), batch_of(fence, 10)])
    rows = [row_body(1, 2), row_body(3, 9), row_body(10, 10)]
    read = [await store.read("c_1", after, max_bytes=1000) for after in (0, 1, 2, 5, 8, 9, 10, 99)]
    assert read == [rows, rows, rows[1:], rows[1:], rows[1:], rows[2:], [], []]


async def test_reading_stops_after_the_bytes_asked_for_and_gives_at_least_one(store: Store) -> None:
    await fill(store, "c_1", 5)
    size = len(row_body(1, 1))
    assert await store.read("c_1", 0, max_bytes=1) == [row_body(1, 1)]
    assert await store.read("c_1", 1, max_bytes=size + 1) == [row_body(2, 2), row_body(3, 3)]


async def test_a_repeated_append_is_passed_over_and_what_is_new_beside_it_is_stored(
    store: Store,
) -> None:
    fence = await fence_of(store, "c_1")
    first = [batch_of(fence, 1, 2, is_open=True, title="Hello"), batch_of(fence, 3)]
    await store.append(first)
    head = await store.head("c_1")
    await store.append(first)
    assert await store.head("c_1") == head
    await store.append([*first, batch_of(fence, 4)])
    assert await bodies_of(store, "c_1") == [row_body(1, 2), row_body(3, 3), row_body(4, 4)]
    assert await store.count_open("ann") == 0


async def test_bodies_are_any_bytes(store: Store) -> None:
    fence = await fence_of(store, "c_1")
    body = bytes(range(256)) * 100
    await store.append([Batch(fence, 1, 1, body, False)])
    assert await bodies_of(store, "c_1") == [body]


async def test_the_title_stays_until_a_batch_or_a_rename_sets_another(store: Store) -> None:
    fence = await fence_of(store, "c_1")
    titles = []
    for seq, title in enumerate(["Hello", None, "", "Again"], start=1):
        await store.append([batch_of(fence, seq, title=title)])
        head = await store.head("c_1")
        titles.append(head and head.title)
    assert titles == ["Hello", "Hello", "", "Again"]


async def test_a_rename_leaves_the_place_in_the_list(store: Store) -> None:
    await fill(store, "c_1", 1)
    await fill(store, "c_2", 1)
    await store.rename("c_1", "Renamed")
    await store.rename("c_3", "Nobody")
    heads = await store.list_heads("ann", limit=9, before=None)
    assert [(head.conversation, head.title) for head in heads] == [("c_2", ""), ("c_1", "Renamed")]


async def test_the_list_is_newest_first_in_pages_and_of_one_owner(store: Store) -> None:
    fences = [await fill(store, f"c_{number}", 1) for number in range(7)]
    await fill(store, "c_bob", 1, owner="bob")
    await store.append([batch_of(fences[2], 2)])
    # One commit, one instant: the order within it is by id.
    await store.append([batch_of(fences[5], 2), batch_of(fences[4], 2), batch_of(fences[6], 2)])
    pages: list[list[str]] = []
    before: str | None = None
    while len(pages) < 9 and (heads := await store.list_heads("ann", limit=2, before=before)):
        pages.append([head.conversation for head in heads])
        before = f"{heads[-1].updated_at}|{heads[-1].conversation}"
    assert pages == [["c_6", "c_5"], ["c_4", "c_2"], ["c_3", "c_1"], ["c_0"]]


async def test_the_list_can_be_of_those_whose_title_contains_something(store: Store) -> None:
    titles = ["Apple pie", "100% of pineapples", "Pears", "APPLES_x", "Äpfel \\ 'und' Birnen"]
    for number, title in enumerate(titles):
        await fill(store, f"c_{number}", 1)
        await store.rename(f"c_{number}", title)
    await fill(store, "c_bob", 1, owner="bob")
    await store.rename("c_bob", "Apples")

    async def found(query: str, limit: int = 9, before: str | None = None) -> list[str]:
        heads = await store.list_heads("ann", limit=limit, before=before, query=query)
        return [head.title for head in heads]

    assert await found("aPple") == ["APPLES_x", "100% of pineapples", "Apple pie"]
    for wild, only in (("%", [titles[1]]), ("_", [titles[3]]), ("\\ '", [titles[4]])):
        assert await found(wild) == only
    assert await found("Äpfel") == [titles[4]]
    assert await found("plum") == await found("\0") == []
    (first,) = await store.list_heads("ann", limit=1, before=None, query="apple")
    assert await found("apple", before=first.position) == ["100% of pineapples", "Apple pie"]


async def test_open_are_those_whose_last_batch_says_so(store: Store) -> None:
    one = await fence_of(store, "c_1")
    two = await fence_of(store, "c_2", "bob")
    await store.append([batch_of(one, 1, is_open=True), batch_of(two, 1, is_open=True)])
    assert (await store.count_open("ann"), await store.count_open("bob")) == (1, 1)
    await store.append([batch_of(one, 2, is_open=False)])
    assert (await store.count_open("ann"), await store.count_open("bob")) == (0, 1)
    assert [(await store.claim(id, "ann", "")).is_open for id in ("c_1", "c_2")] == [False, True]


async def test_a_claim_tells_how_far_the_log_reaches(store: Store) -> None:
    assert await store.claim("c_1", "ann", "epoch") == Claim(Fence("c_1", "ann", "epoch"))
    fence = await fill(store, "c_1", 3)
    assert await store.claim("c_1", "ann", "other") == Claim(fence, head=3)


async def test_who_let_go_of_a_conversation_may_claim_it_again(store: Store) -> None:
    fence = await fence_of(store, "c_1")
    await store.append([batch_of(fence, 1, releases=True)])
    fence = await fence_of(store, "c_1")
    await store.append([batch_of(fence, 2)])
    await store.release(fence)
    await store.release(fence)
    fence = await fence_of(store, "c_1")
    await store.append([batch_of(fence, 3)])
    assert await bodies_of(store, "c_1") == [row_body(seq, seq) for seq in (1, 2, 3)]


async def test_what_was_claimed_and_given_back_unused_leaves_no_trace(store: Store) -> None:
    await store.release(await fence_of(store, "c_1"))
    assert await store.head("c_1") is None
    assert await store.list_heads("ann", limit=9, before=None) == []
    fence = await fence_of(store, "c_1", "bob", "other")
    assert fence == Fence("c_1", "bob", "other")


async def test_a_deleted_conversation_is_gone_and_can_begin_anew(store: Store) -> None:
    await fill(store, "c_1", 3)
    await store.delete("c_1")
    await store.delete("c_1")
    assert (await store.head("c_1"), await bodies_of(store, "c_1")) == (None, [])
    fence = await fence_of(store, "c_1", "bob", "new")
    await store.append([batch_of(fence, 1)])
    assert fence == Fence("c_1", "bob", "new")
    assert await bodies_of(store, "c_1") == [row_body(1, 1)]


async def test_a_compacted_log_reads_the_same_and_goes_on(store: Store) -> None:
    fence = await fill(store, "c_1", 4)
    await fill(store, "c_2", 2)
    head = await store.head("c_1")
    whole = b"".join(await bodies_of(store, "c_1"))
    await store.compact("c_1", join_all)
    assert await store.head("c_1") == head
    assert await bodies_of(store, "c_1") == [whole]
    assert await store.read("c_1", 3, max_bytes=1000) == [whole]
    await store.append([batch_of(fence, seq) for seq in (2, 3, 4, 5)])
    assert await bodies_of(store, "c_1") == [whole, row_body(5, 5)]
    assert await bodies_of(store, "c_2") == [row_body(1, 1), row_body(2, 2)]


async def test_compacting_after_a_seq_leaves_the_rows_up_to_it(store: Store) -> None:
    await fill(store, "c_1", 4)
    rows = await bodies_of(store, "c_1")
    await store.compact("c_1", join_all, after=2)
    assert await bodies_of(store, "c_1") == [*rows[:2], b"".join(rows[2:])]


async def test_compacting_what_is_compact_or_unknown_changes_nothing(store: Store) -> None:
    def join(bodies: list[bytes]) -> list[Row]:
        return [Row(seq, seq, body) for seq, body in enumerate(bodies, start=1)]

    await fill(store, "c_1", 2)
    await store.compact("c_1", join)
    await store.compact("c_2", join_all)
    assert await bodies_of(store, "c_1") == [row_body(1, 1), row_body(2, 2)]
    assert await store.head("c_2") is None


async def test_an_append_of_nothing_changes_nothing(store: Store) -> None:
    await fill(store, "c_1", 2)
    before = (await store.head("c_1"), await bodies_of(store, "c_1"))
    await store.append([])
    fence = await fence_of(store, "c_1")
    assert (await store.head("c_1"), await bodies_of(store, "c_1")) == before
    await store.append([batch_of(fence, 3)])
    assert await bodies_of(store, "c_1") == [row_body(1, 1), row_body(2, 2), row_body(3, 3)]


async def test_what_is_spent_adds_up_by_owner_and_day_and_once_for_each_batch(store: Store) -> None:
    one = await fence_of(store, "c_1")
    two = await fence_of(store, "c_2")
    late, early = Spent("2026-01-01", 7, 0.25), Spent("2026-01-02", 3, 0.5)
    batches = [batch_of(one, 1, 2, spent=(late, early)), batch_of(two, 1, spent=(early,))]
    await store.append(batches)
    await store.append([*batches, batch_of(one, 3, spent=(early,))])
    await store.delete("c_1")
    assert await store.spent("ann", "2026-01-01") == late
    assert await store.spent("ann", "2026-01-02") == Spent("2026-01-02", 9, 1.5)
    assert await store.spent("ann", "2026-01-03") == Spent("2026-01-03")
    assert await store.spent("bob", "2026-01-01") == Spent("2026-01-01")


async def test_an_owners_conversations_are_counted_from_their_first_batch_on(store: Store) -> None:
    assert await store.count("ann") == 0
    for number in range(3):
        await fill(store, f"c_{number}", 2)
    await fence_of(store, "c_4")
    await fill(store, "c_bob", 1, owner="bob")
    await store.delete("c_1")
    await store.delete("c_1")
    assert (await store.count("ann"), await store.count("bob")) == (2, 1)


async def test_hidden_conversations_are_in_no_list_and_do_not_count(store: Store) -> None:
    for number in range(3):
        await fill(store, f"c_{number}", 1)
        await fill(store, f"h_{number}", 1)
    assert await store.count("ann") == 3
    first = await store.list_heads("ann", limit=2, before=None)
    rest = await store.list_heads("ann", limit=9, before=first[-1].position)
    assert [head.conversation for head in first + rest] == ["c_2", "c_1", "c_0"]
    head = await store.head("h_1")
    assert head is not None
    assert head.owner == "ann"
    await store.delete("h_1")
    assert await store.count("ann") == 3


async def test_hidden_conversations_are_found_by_their_age_unless_a_turn_is_unfinished(
    store: Store,
) -> None:
    await fill(store, "c_1", 1)
    await fill(store, "h_old", 1)
    await fill(store, "h_bob", 1, owner="bob")
    unfinished = await fence_of(store, "h_open", "ann")
    await store.append([batch_of(unfinished, 1, is_open=True)])
    between = await fill(store, "h_new", 1)
    await store.append([batch_of(between, 2)])
    new = await store.head("h_new")
    assert new is not None
    old = await store.list_hidden(before=new.updated_at, limit=9)
    assert sorted(head.conversation for head in old) == ["h_bob", "h_old"]
    assert len(await store.list_hidden(before=new.updated_at, limit=1)) == 1
    assert len(await store.list_hidden(before="9", limit=9)) == 3
