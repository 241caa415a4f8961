import statistics
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.sim.arrivals import DAY_MS, HOUR_MS, RHYTHM, arrivals_ms, returns_ms
from instanter.sim.chance import Chance


def test_normal_draws_have_the_mean_and_deviation_asked_for():
    chance = Chance("normal", seed=1)
    draws = [chance.normal(3.0, 2.0) for _ in range(4_000)]
    assert abs(statistics.mean(draws) - 3.0) < 0.15
    assert abs(statistics.stdev(draws) - 2.0) < 0.15


def test_waiting_times_have_the_mean_asked_for():
    chance = Chance("waiting", seed=1)
    draws = [chance.exponential(5.0) for _ in range(4_000)]
    assert min(draws) >= 0.0
    assert abs(statistics.mean(draws) - 5.0) < 0.4


def test_weighted_draws_follow_the_weights_and_never_take_a_weight_of_zero():
    chance = Chance("weighted", seed=1)
    counts = Counter(chance.weighted("abc", [1.0, 0.0, 3.0]) for _ in range(4_000))
    assert counts["b"] == 0
    assert 0.70 < counts["c"] / 4_000 < 0.80


@settings(deadline=None, max_examples=50)
@given(key=st.text(max_size=8), count=st.integers(0, 12))
def test_a_sample_holds_different_options_and_at_most_all(key, count):
    sample = Chance(key).sample(range(8), count)
    assert len(sample) == len(set(sample)) == min(count, 8)


@settings(deadline=None, max_examples=50)
@given(key=st.text(max_size=8), count=st.integers(0, 60), start_ms=st.integers(0, 2 * DAY_MS),
       span_ms=st.integers(1, 3 * DAY_MS))
def test_arrivals_are_as_many_as_asked_for_in_order_and_inside_the_span(key, count, start_ms, span_ms):
    times = list(arrivals_ms(Chance(key), count, start_ms=start_ms, span_ms=span_ms))
    assert len(times) == count
    assert times == sorted(times)
    assert all(start_ms <= at_ms < start_ms + span_ms for at_ms in times)


def test_arrivals_follow_the_rhythm_of_the_day():
    times = arrivals_ms(Chance("rhythm"), 20_000, start_ms=0, span_ms=10 * DAY_MS)
    hours = Counter(at_ms // HOUR_MS % 24 for at_ms in times)
    for hour, weight in enumerate(RHYTHM):
        expected = 20_000 * weight / sum(RHYTHM)
        assert abs(hours[hour] - expected) < 5 * expected ** 0.5


def test_nobody_comes_back_within_the_hour():
    assert all(returns_ms(Chance(f"return/{n}"), 1_000) >= 1_000 + HOUR_MS for n in range(200))
