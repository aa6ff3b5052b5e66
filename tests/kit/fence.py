"""The right to append, for tests that nobody else keeps from it."""

from turnwire_server.store.port import Fence, Store

__all__ = ["fence_of"]


async def fence_of(
    store: Store, conversation: str, owner: str = "ann", epoch: str = "epoch"
) -> Fence:
    """Claim the conversation; nobody else holds it."""
    claim = await store.claim(conversation, owner, epoch)
    assert claim.fence is not None, f"{claim.holder} holds it"
    return claim.fence
