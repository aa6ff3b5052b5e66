"""The buckets that bound rates, what they hold and how fast they fill; places of principals."""

import pytest

from turnwire_server.core.limits import Bucket, Buckets, Places, ServiceLimits
from turnwire_server.errors import Rejected


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


def test_a_name_has_a_bucket_of_its_own_and_full_ones_are_forgotten() -> None:
    buckets = Buckets(1)
    assert [buckets.take("anna", 0.0) for _ in range(3)] == [True, True, False]
    assert buckets.take("bert", 0.0)
    for number in range(5_000):
        assert buckets.take(f"p{number}", 10.0 * number)
    assert buckets.known < 1_100
    assert [buckets.take("anna", 50_000.0) for _ in range(3)] == [True, True, False]


def test_a_place_is_given_back_and_each_principal_has_their_own() -> None:
    places = Places("streams", 1)
    for _ in range(2):
        with places.taken("anna"), places.taken("bert"):
            with pytest.raises(Rejected) as refused, places.taken("anna"):
                pass
            assert refused.value.code == "too_many"


def test_more_commands_need_more_frames() -> None:
    assert ServiceLimits().frames_per_second == 250
    assert ServiceLimits(max_commands_per_second=1000).frames_per_second == 2000
