"""How long is waited, on a clock of its own."""

from turnwire import Backoff


def test_the_ceiling_doubles_up_to_the_cap() -> None:
    backoff = Backoff(base_seconds=0.5, cap_seconds=15, uniform=lambda: 1.0)
    assert [backoff.lost(0.0) for _ in range(7)] == [0.5, 1, 2, 4, 8, 15, 15]
    assert [backoff.lost(0.0) for _ in range(3000)][-1] == 15


def test_the_jitter_is_full() -> None:
    drawn = iter([0.0, 0.25, 1.0])
    backoff = Backoff(base_seconds=0.5, uniform=lambda: next(drawn))
    assert [backoff.lost(0.0) for _ in range(3)] == [0.0, 0.25, 2.0]


def test_only_a_stable_connection_begins_the_count_anew() -> None:
    backoff = Backoff(base_seconds=0.5, stable_seconds=10, uniform=lambda: 1.0)
    backoff.opened(100.0)
    assert backoff.lost(109.9) == 0.5
    backoff.opened(110.0)
    assert backoff.lost(119.9) == 1.0
    backoff.opened(120.0)
    assert backoff.lost(130.0) == 0.5
    assert backoff.lost(200.0) == 1.0
