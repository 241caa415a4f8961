"""Simulated visitors, against a stand-in for the engine."""

from collections import Counter

import pytest

from instanter.foundation.clock import ManualClock, elapsed_ns
from instanter.foundation.errors import RequestRejected
from instanter.foundation.limits import CROWD_CALLS_PER_S, CROWD_VISITORS_MAX
from instanter.sim.shop import Shop
from instanter.storefront.crowd import Crowd

from .engine import FakeEngine

NOW_MS = 1_767_225_600_000
SHOP = Shop(products=300)


def crowd_of(engine, **more):
    return Crowd(SHOP, "http://engine", clock=ManualClock(NOW_MS), haste=1e6, transport=engine.transport(), **more)


def events_of(engine):
    for _, path, body, _ in engine.asked:
        yield from body["batch"] if path == "/v1/batch" else body["events"]


def joined(crowd):
    """Wait until all have left by themselves."""
    crowd.wait()
    return crowd.status()


def test_they_tell_what_they_do_and_see_what_the_engine_decides():
    engine = FakeEngine()
    crowd = crowd_of(engine, key="secret")
    crowd.start(2)
    status = joined(crowd)
    assert (status.running, status.inside, status.problem) == (False, 0, "")
    told = list(events_of(engine))
    assert len(told) == status.counts["events"]
    assert len({event["messageId"] for event in told}) == len(told)
    decided = [body for _, path, body, _ in engine.asked if path == "/v1/decide"]
    assert len(decided) == status.counts["decisions"] > 0
    named = Counter(event.get("event") for event in told)
    assert named["Product List Viewed"] == status.counts["lists"] == len(decided)
    assert all(headers["authorization"] == "Bearer secret" for *_, headers in engine.asked)


def test_what_has_happened_is_told_with_the_question_so_that_it_counts():
    engine = FakeEngine()
    crowd = crowd_of(engine)
    crowd.start(1)
    joined(crowd)
    first = engine.asked[0]
    assert first[1] == "/v1/decide"
    assert first[2]["events"][0]["type"] == "page"


@pytest.mark.parametrize("visitors", [0, -1, CROWD_VISITORS_MAX + 1])
def test_a_crowd_of_no_size_or_too_large_is_refused(visitors):
    with pytest.raises(RequestRejected, match="1 to 1,000"):
        crowd_of(FakeEngine()).start(visitors)


def test_there_is_one_crowd_at_a_time_and_it_can_be_sent_home():
    engine = FakeEngine()
    engine.answers[("POST", "/v1/decide")] = (429, {"error": {"code": "rate", "message": "later"}})
    crowd = crowd_of(engine)
    crowd.start(5)
    with pytest.raises(RequestRejected, match="stop it first"):
        crowd.start(5)
    crowd.stop()
    assert not crowd.status().running
    engine.answers.clear()
    crowd.start(1)
    assert joined(crowd).counts["decisions"] > 0


def test_an_engine_that_does_not_answer_ends_it_and_is_told():
    crowd = crowd_of(FakeEngine(down=True))
    crowd.start(3)
    assert "does not answer" in joined(crowd).problem


def test_a_refusal_ends_it_and_is_told():
    engine = FakeEngine()
    engine.answers[("POST", "/v1/decide")] = (401, {"error": {"code": "key", "message": "no"}})
    crowd = crowd_of(engine)
    crowd.start(1)
    assert joined(crowd).problem == "the engine answered 401 to /v1/decide"


def test_all_together_keep_to_the_rate():
    assert CROWD_CALLS_PER_S <= 100
    calls = []
    engine = FakeEngine()
    answer = engine.answer

    def noted(request):
        calls.append(elapsed_ns() / 1e9)
        return answer(request)

    engine.answer = noted
    crowd = crowd_of(engine)
    crowd.start(2)
    joined(crowd)
    assert len(calls) > 10
    assert calls[-1] - calls[0] >= (len(calls) - 2) / CROWD_CALLS_PER_S
