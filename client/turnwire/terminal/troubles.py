"""What went wrong, for people, with what to do about it where that is known."""

from turnwire.errors import CannotConnect, ConnectionRefused, TurnwireError
from turnwire.reply import Reply
from turnwire.terminal.text import printable
from turnwire_protocol import Code, StopReason

__all__ = ["explain", "shortfall"]

_CUT: dict[str, str] = {
    StopReason.MAX_TOKENS: "The answer is cut: it reached the limit of tokens.",
    StopReason.MODEL_CONTEXT_WINDOW_EXCEEDED: "The answer is cut: the conversation is too long.",
    StopReason.MAX_STEPS: "The answer is cut: it took too many steps.",
    StopReason.CANCELLED: "The answer is cut: it was stopped.",
}


def explain(error: TurnwireError) -> str:
    """What an error says."""
    text = printable(str(error))
    match error:
        case ConnectionRefused(code=Code.UNAUTHORIZED) | ConnectionRefused(status=401):
            return f"{text}\nGive the service's token with --token or TURNWIRE_TOKEN."
        case CannotConnect() if not isinstance(error, ConnectionRefused):
            return f"{text}\nIs it running? Start it with: turnwire serve"
        case _:
            return text


def shortfall(reply: Reply) -> str | None:
    """Why an answer is not what was asked for; None: it is whole."""
    if reply.stop_reason == StopReason.REFUSAL:
        parts = ["The model refused"]
        if reply.refusal and reply.refusal.category:
            parts.append(f" ({reply.refusal.category})")
        if reply.refusal and reply.refusal.explanation:
            parts.append(f": {reply.refusal.explanation}")
        return printable("".join(parts)).replace("\n", " ")
    return _CUT.get(reply.stop_reason)
