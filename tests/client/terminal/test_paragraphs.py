"""Cutting growing Markdown into finished pieces."""

import pytest

from turnwire.terminal.paragraphs import Paragraphs

DOCUMENTS = {
    "paragraphs": ["One.\nStill one.\n\n", "Two.\n\n", "Three"],
    "a fence with blank lines": ["Look:\n\n", "```py\na = 1\n\nb = 2\n```\n\n", "Done"],
    "a longer fence around a shorter": ["````\n```\n\n```\n\nx\n````\n\n", "After"],
    "a tilde fence": ["~~~\na\n\n```\n\nb\n~~~\n\n", "After"],
    "a loose list": ["- a\n\n- b\n\n  more of b\n\n", "After"],
    "a numbered list": ["1. a\n\n2. b\n\n10) c\n\n", "After"],
    "many blank lines": ["One\n\n\n\n", "Two"],
    "a number that is text": ["One\n\n", "1968 was a year.\n\n", "Two"],
    "an open fence": ["One\n\n", "```\nnever\n\nclosed\n\n"],
}


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("pieces", DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_a_document_is_cut_between_its_blocks_however_it_arrives(
    pieces: list[str], size: int
) -> None:
    document, paragraphs = "".join(pieces), Paragraphs()
    got: list[str] = []
    for start in range(0, len(document), size):
        got.append(paragraphs.feed(document[start : start + size]))
    got.append(paragraphs.close())
    # Several pieces may be finished at once by one long arrival.
    assert "".join(got) == document
    cuts = {len("".join(pieces[:count])) for count in range(len(pieces) + 1)}
    assert {len("".join(got[:count])) for count in range(len(got) + 1)} <= cuts
    if size == 1:
        assert [piece for piece in got if piece] == pieces


def test_after_closing_it_begins_anew() -> None:
    paragraphs = Paragraphs()
    paragraphs.feed("```\nopen")
    paragraphs.close()
    assert paragraphs.feed("One\n\nTwo") == "One\n\n"
