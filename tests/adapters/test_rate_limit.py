import pytest

from ringbridge.adapters.sip.rate_limit import RateLimit


def test_as_many_as_allowed_pass_in_a_second_and_no_more() -> None:
    limit = RateLimit(10)
    passed = sum(limit.admits("192.0.2.1", 100.0) for _ in range(25))
    assert (passed, limit.refused) == (10, 15)


def test_tokens_come_back_with_time() -> None:
    limit = RateLimit(10)
    assert all(limit.admits("a", 100.0) for _ in range(10))
    assert not limit.admits("a", 100.05)
    assert limit.admits("a", 100.2)


def test_one_source_does_not_use_up_anothers() -> None:
    limit = RateLimit(1)
    assert limit.admits("a", 1.0)
    assert not limit.admits("a", 1.0)
    assert limit.admits("b", 1.0)


def test_steady_traffic_at_the_limit_passes_whole() -> None:
    limit = RateLimit(100)
    assert all(limit.admits("a", 5.0 + n / 100) for n in range(1000))


def test_quiet_sources_are_forgotten() -> None:
    limit = RateLimit(5)
    for n in range(1000):
        limit.admits(f"source {n}", 10.0)
    limit.admits("late", 12.0)
    assert len(limit) == 1


def test_a_limit_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        RateLimit(0)
