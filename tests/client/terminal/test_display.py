"""What a turn looks like once it has scrolled by."""

from io import StringIO

from rich.console import Console

from tests.kit.scripted_server import AT, CONVERSATION, answer
from turnwire.terminal.display import Display
from turnwire_protocol import parse_event


def shown(*frames: dict[str, object], is_json: bool = False) -> list[str]:
    """The lines that remain on the screen of a turn with these events."""
    output = StringIO()
    console = Console(file=output, width=70)
    with Display(console, lambda: "", lambda block: f"/{block.blob}", is_json=is_json) as display:
        for seq, frame in enumerate(frames, 1):
            place = {"conversation": CONVERSATION, "turn": "t_1", "seq": seq, "at": AT}
            display.show(parse_event(place | frame))
    return [line.rstrip() for line in output.getvalue().splitlines() if line.strip()]


def test_an_answer_is_printed_once_with_its_counts() -> None:
    frames = answer("# Title\n\nOne ", "**bold**", "\n\nTwo")
    lines = shown(*frames)
    assert [line.strip() for line in lines] == ["Title", "One bold", "Two", "3 in · 4 out · 0.0 s"]


def test_an_answer_that_is_json_is_no_markdown() -> None:
    lines = shown(*answer('{"a": ["*b*", ', "1.50]}"), is_json=True)
    assert lines[:6] == ["{", '  "a": [', '    "*b*",', "    1.5", "  ]", "}"]
    assert shown(*answer("no *JSON*"), is_json=True)[0] == "no *JSON*"


def test_thinking_and_tool_calls_are_shown_folded() -> None:
    call = {"tool_id": "x", "tool_name": "read"}
    lines = shown(
        {"type": "thinking", "block": 0, "text": "Let me see."},
        {"type": "block_stop", "block": 0},
        {"type": "tool_start", "block": 1, **call, "runs_on": "server"},
        {"type": "tool_executing", **call, "input": {"path": "a"}, "runs_on": "server"},
        {
            "type": "tool_result",
            "tool_id": "x",
            "content": "\n".join("abcdefgh"),
            "is_error": False,
            "duration_ms": 1,
        },
    )
    assert lines == [
        "Let me see.",
        'read {"path": "a"}',
        "→ a",
        "  b",
        "  c",
        "  d",
        "  … 4 more lines",
    ]


def test_a_rewind_says_that_the_answer_begins_again() -> None:
    lines = shown(
        {"type": "token", "block": 0, "text": "wrong"},
        {"type": "rewind", "block": 0},
        {"type": "token", "block": 0, "text": "right"},
    )
    assert (lines[0], lines[2]) == ("wrong", "right")
    assert "begins again" in lines[1]


def test_an_image_of_a_tool_is_a_link() -> None:
    image = {"type": "image", "blob": f"b_{'0' * 32}", "media_type": "image/png", "bytes": 1}
    content = [{"type": "text", "text": "Look:"}, image]
    result = {"tool_id": "x", "content": content, "is_error": False, "duration_ms": 1}
    lines = shown({"type": "tool_result", **result})
    assert lines[-1] == f"/b_{'0' * 32}"


def test_an_answer_cannot_steer_the_terminal() -> None:
    lines = shown(
        {"type": "token", "block": 0, "text": "a\x1b]0;title\x07b\x9b2Jc"},
        {"type": "block_stop", "block": 0},
        {
            "type": "tool_result",
            "tool_id": "x",
            "content": "d\x1b[2Je",
            "is_error": True,
            "duration_ms": 1,
        },
    )
    assert lines == ["a]0;titleb2Jc", "→ d[2Je"]


def test_a_summary_is_a_quiet_line_and_not_its_text() -> None:
    lines = shown(
        {"type": "step", "step": 1, "attempt": 1, "model": "m", "compacts": True},
        {"type": "compaction", "block": 0, "summary": "They spoke of Oslo."},
        {"type": "step", "step": 2, "attempt": 1, "model": "m"},
        {"type": "token", "block": 1, "text": "On we go."},
        {"type": "block_stop", "block": 1},
    )
    assert [line.strip() for line in lines] == [
        "— older messages were summarised for the model —",
        "On we go.",
    ]


def test_a_refusal_is_printed_with_its_reason_and_a_small_cost_is_not_nothing() -> None:
    counts = {"input_tokens": 3, "output_tokens": 4}
    refusal = {"category": "cyber", "explanation": "No\x1b[2J."}
    end = {"type": "done", "stop_reason": "refusal", "usage": counts, "steps": 1, "duration_ms": 0}
    [line] = shown({**end, "refusal": refusal, "cost_usd": 0.00001})
    assert line.strip().startswith("3 in · 4 out · 0.0 s · < $0.0001 · refusal (cyber): No")
    assert "\x1b" not in line
    assert "$0.0000" in shown({**end, "cost_usd": 0.0})[0]


def test_what_cites_reads_as_one_paragraph_with_its_sources_below() -> None:
    page = {"title": "Claude\n Shannon", "url": "https://a.example/"}
    lines = shown(
        {"type": "token", "block": 0, "text": "He was "},
        {"type": "block_stop", "block": 0},
        {"type": "token", "block": 1, "text": "born in 1916"},
        {"type": "block_stop", "block": 1, "citations": [page, {"title": "r.pdf", "document": 0}]},
        {"type": "token", "block": 2, "text": "(a Sunday) in **Petoskey**. "},
        {"type": "block_stop", "block": 2, "citations": [page]},
        {"type": "tool_start", "block": 3, "tool_id": "x", "tool_name": "y", "runs_on": "provider"},
        {"type": "token", "block": 4, "text": "So."},
        *answer()[-1:],
    )
    assert lines == [
        "He was born in 1916[1][2](a Sunday) in Petoskey.[1]",
        "So.",
        "[1] Claude Shannon  https://a.example/",
        "[2] r.pdf",
        "3 in · 4 out · 0.0 s",
    ]
