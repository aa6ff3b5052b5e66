"""How long to wait before the next attempt. Pure: chance comes in as an argument."""

__all__ = ["delay_seconds"]


def delay_seconds(
    attempt: int,
    *,
    base_seconds: float,
    cap_seconds: float,
    chance: float,
    retry_after_seconds: float | None = None,
) -> float:
    """The delay after the failed `attempt` (from 1): exponential, with jitter from a half to whole.

    `chance` is uniform in [0, 1). What the provider asks for (`retry-after`) wins, up to the cap.
    """
    if retry_after_seconds is not None:
        return round(min(retry_after_seconds, max(cap_seconds, 60.0)), 3)
    whole = min(base_seconds * 2.0 ** (attempt - 1), cap_seconds)
    return round(whole * (0.5 + chance / 2), 3)
