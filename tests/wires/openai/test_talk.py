"""What is read of a list of messages."""

from typing import Any

import pytest

from turnwire_protocol import Attachment, ImageBlock, TextBlock, parse_body
from turnwire_server.core.past import PastTurn
from turnwire_server.errors import Rejected
from turnwire_server.wires.openai.request import ChatRequest
from turnwire_server.wires.openai.talk import Talk, read_talk

IMAGE = ImageBlock(blob=f"b_{0:032x}", bytes=1, media_type="image/png")


async def keep(data: str, media_type: str) -> Attachment:
    return IMAGE


async def talk_of(*messages: tuple[str, Any]) -> Talk:
    """The talk of a list of (role, content); of a tool the role is its call's id."""
    roles = ("system", "developer", "user", "assistant")
    listed = [
        {"role": role, "content": content}
        if role in roles
        else {"role": "tool", "tool_call_id": role, "content": content}
        for role, content in messages
    ]
    request = parse_body(ChatRequest, {"model": "m", "messages": listed, "unknown": 1})
    return await read_talk(request.messages, keep)


async def test_texts_are_kept_and_answers_before_any_question_are_not() -> None:
    talk = await talk_of(
        ("system", "Be brief."),
        ("assistant", "How can I help?"),
        ("user", "a?"),
        ("assistant", None),
        ("call_1", "25"),
        ("assistant", [{"type": "text", "text": "A"}]),
        ("assistant", "more"),
        ("user", " "),
        ("developer", "Be kind."),
        ("user", "b?"),
        ("user", "c?"),
    )
    assert talk.system == "Be brief.\n\nBe kind."
    assert talk.past == [PastTurn("a?", None, "A\n\nmore"), PastTurn("b?", None, "")]
    assert [question.is_answered for question in talk.questions] == [True, False, False]
    assert (talk.questions[-1].content, talk.outputs) == ("c?", {})


async def test_results_of_tools_count_only_at_the_end() -> None:
    talk = await talk_of(("user", "a?"), ("one", "1"), ("assistant", None), ("two", "2"), ("x", ""))
    assert talk.outputs == {"two": "2", "x": ""}
    assert talk.past == []


async def test_the_same_text_is_the_same_content_in_either_form() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    talk = await talk_of(("user", "a\n\nb"), ("user", parts), ("user", [*parts[:1], image]))
    assert [question.content for question in talk.questions] == [
        "a\n\nb",
        "a\n\nb",
        [TextBlock(text="a"), IMAGE],
    ]


async def test_of_a_long_past_the_newest_turns_are_kept() -> None:
    talk = await talk_of(*(("user", str(number)) for number in range(1001)))
    assert [turn.content for turn in talk.past] == [str(number) for number in range(800, 1000)]


@pytest.mark.parametrize(
    "messages",
    [
        [("system", "x")],
        [("assistant", "x")],
        [("user", "x"), ("assistant", "y")],
        [("user", "x"), ("user", "")],
        [("user", [{"type": "image_url"}])],
        [("user", [{"type": "image_url", "image_url": {"url": "http://127.0.0.1/x.png"}}])],
        [("user", [{"type": "file", "file": {"file_id": "f_1"}}])],
    ],
)
async def test_what_asks_nothing_or_cannot_be_shown_is_refused(messages: Any) -> None:
    with pytest.raises(Rejected):
        await talk_of(*messages)
