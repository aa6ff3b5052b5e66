"""How much is read at once, and who stands in line."""

import asyncio

import pytest

from turnwire_server.connections.reading import Line, Reads, Window

FEW, MANY = b".", b"|" * 40
"""What a read brings: few pieces, or one with each stroke."""


class Transport(asyncio.Transport):
    """Notes whether it is read from."""

    def __init__(self) -> None:
        super().__init__()
        self.is_read = True
        self.is_gone = False

    def pause_reading(self) -> None:
        """Noted."""
        self.is_read = False

    def resume_reading(self) -> None:
        """Noted."""
        self.is_read = True

    def is_closing(self) -> bool:
        """Whether it was aborted."""
        return self.is_gone

    def abort(self) -> None:
        """Noted."""
        self.is_gone = True


class Strokes(Reads):
    """Takes each stroke for a piece."""

    is_paused = False
    pieces = 0

    def __init__(self, line: Line) -> None:
        self.window = Window()
        self.line = line
        self.peer = self.transport = Transport()
        self.taken: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        """Take them."""
        self.taken.append(data)
        self.pieces += data.count(b"|")

    def read(self, data: bytes) -> None:
        """What a loop does that has found so much in the socket."""
        room = self.get_buffer(-1)
        data = data[: len(room)]
        room[: len(data)] = data
        self.buffer_updated(len(data))


async def test_reads_grow_while_they_are_full_and_bring_few_pieces() -> None:
    strokes = Strokes(Line())
    sizes = []
    for _ in range(10):
        sizes.append(strokes.read_bytes)
        strokes.read(FEW * 2**20)
    assert sizes == [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 65536, 65536]
    strokes.read(FEW)
    assert strokes.read_bytes == 65536
    strokes.read(MANY)
    assert strokes.read_bytes == 512


async def test_of_those_who_bring_many_pieces_one_is_taken_in_a_turn_of_the_loop() -> None:
    line = Line()
    one, other, quiet = Strokes(line), Strokes(line), Strokes(line)
    for strokes in (one, other):
        strokes.read(MANY)
        strokes.read(MANY)
        assert (len(strokes.taken), strokes.peer.is_read) == (1, False)
    quiet.read(FEW)
    assert len(quiet.taken) == 1
    await asyncio.sleep(0)
    assert (len(one.taken), one.peer.is_read) == (2, True)
    assert (len(other.taken), other.peer.is_read) == (1, False)
    await asyncio.sleep(0)
    assert (len(other.taken), other.peer.is_read) == (2, True)


@pytest.mark.parametrize("why", ["the app is behind", "it is held", "it is gone"])
async def test_after_its_turn_a_connection_is_read_only_if_it_may_be(why: str) -> None:
    strokes = Strokes(Line())
    strokes.read(MANY)
    strokes.read(MANY)
    strokes.is_paused = why == "the app is behind"
    strokes.peer.is_gone = why == "it is gone"
    if why == "it is held":
        strokes.hold(60.0)
    await asyncio.sleep(0)
    assert not strokes.peer.is_read
    assert len(strokes.taken) == (2 if strokes.is_paused else 1)
    strokes.let_go()


async def test_what_was_read_first_is_taken_first_even_if_somebody_else_reads_on() -> None:
    strokes = Strokes(Line())
    strokes.read(MANY)
    strokes.read(b"first")
    # The app has received what there was, and uvicorn reads on.
    strokes.read(b"second")
    await asyncio.sleep(0)
    strokes.read(b"third")
    for _ in range(2):
        await asyncio.sleep(0)
    assert strokes.taken[1:] == [b"first", b"second", b"third"]
    assert strokes.peer.is_read
