"""The bucket that bounds commands: what it holds, and how fast it fills."""

from turnwire_server.core.limits import Bucket


def taken(bucket: Bucket, now: float) -> int:
    """How many can be taken at that time, of very many."""
    return sum(bucket.take(now) for _ in range(1000))


def test_a_new_bucket_gives_twice_its_rate_at_once() -> None:
    assert taken(Bucket(10, now=5.0), now=5.0) == 20


def test_an_emptied_bucket_fills_with_its_rate() -> None:
    bucket = Bucket(10, now=0.0)
    taken(bucket, now=0.0)
    assert [taken(bucket, now) for now in (0.0, 0.5, 0.5, 1.5)] == [0, 5, 0, 10]


def test_however_long_it_rests_a_bucket_never_holds_more_than_twice_its_rate() -> None:
    bucket = Bucket(10, now=0.0)
    assert taken(bucket, now=3600.0) == 20
    assert taken(bucket, now=7200.0) == 20
