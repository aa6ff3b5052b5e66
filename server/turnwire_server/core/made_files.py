"""Files that tools of the provider made in a conversation: whose log names one may read it."""

from turnwire_protocol import Code, FoldedConversation
from turnwire_server.core.log.follower import Follower
from turnwire_server.errors import ModelError, Rejected
from turnwire_server.model.port import Model, ProviderFile

__all__ = ["open_made"]


async def open_made(
    model: Model, follower: Follower, file: str, *, head: int, max_bytes: int
) -> ProviderFile:
    """The file, if a result in the conversation names it; the follower, at its start, is closed.

    Raises:
        Rejected: no such file, or it cannot be had.
    """
    folded = FoldedConversation()
    try:
        await follower.tell(folded.apply, head=head)
    finally:
        follower.close()
    calls = (block.tool for turn in folded.turns for block in turn.blocks)
    results = (call.result for call in calls if call is not None and call.result is not None)
    # The provider would give any file of the operator's, whoever asked for it.
    if not any(file in (result.files or ()) for result in results):
        raise Rejected(Code.NOT_FOUND, "no such file in this conversation")
    try:
        return await model.open_file(file, max_bytes=max_bytes)
    except ModelError as error:
        status = error.provider.status if error.provider else None
        if status in (400, 404):
            raise Rejected(Code.NOT_FOUND, "the provider does not have it any more") from error
        if error.code in (Code.NOT_FOUND, Code.TOO_LARGE):
            raise Rejected(error.code, error.message) from error
        message = "the provider did not give the file"
        raise Rejected(Code.NETWORK_ERROR, message, retryable=True) from error
