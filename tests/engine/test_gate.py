"""The gate: what consent and erasures say of an event before anything of it is kept."""

from __future__ import annotations

from collections.abc import Mapping

from instanter.engine.gate import Gate
from instanter.engine.partition import Partition
from instanter.events.envelope import Configured, Consented, Erased, Linked
from instanter.events.gate import FREE, Judgement
from instanter.events.subjects import HashedSubjects
from instanter.features.compile import compile_features
from instanter.features.declaration import DEFAULT_FEATURES
from instanter.foundation import limits
from instanter.foundation.clock import ManualClock

SCHEMA = compile_features(DEFAULT_FEATURES, memory_mb=8, items_max=512)
START_MS = 1_700_000_000_000
REFUSED, GRANTED = {"personalization": False}, {"personalization": True}


class Door:
    """A gate, and a partition that folds what the gate has to say."""

    def __init__(self, *, required: bool = False, purposes: tuple[str, ...] = ("personalization", "ads")) -> None:
        self.clock = ManualClock(START_MS)
        self.subjects = HashedSubjects(bytes(32))
        self.partition = Partition(SCHEMA)
        self.purposes, self.required = purposes, required
        self.partition.apply([Configured(1, {}, (), purposes)], ends=[1])
        self.restart()

    def restart(self) -> None:
        self.gate = Gate(
            self.partition, self.subjects, self.clock, purposes=self.purposes, required=self.required
        )

    def come(
        self, *ids: str, stated: Mapping[str, bool] | None = None, gpc: bool = False, at_ms: int | None = None,
        message: int = 1,
    ) -> Judgement:  # fmt: skip
        happened_ms = self.clock.now_ms() if at_ms is None else at_ms
        judged = self.gate.judge(
            "shop", ids or ("u1",), stated=stated, gpc=gpc, happened_ms=happened_ms, message=message
        )
        for identifier in ids or ("u1",):
            if judged.statement:
                self.apply(Consented(happened_ms, "shop", self.cell(identifier), dict(judged.statement)))
        return judged

    def cell(self, identifier: str) -> int:
        return self.subjects.find("shop", identifier)

    def apply(self, *records: Consented | Erased | Linked) -> None:
        end = self.partition.position
        self.partition.apply(records, ends=[end + number for number in range(1, len(records) + 1)])

    def personal(self, *ids: str, **asked: Mapping[str, bool]) -> bool:
        return self.gate.agreement("shop", ids or ("u1",), stated=asked.get("stated"), gpc=False).personal


def test_everything_is_kept_while_nobody_has_objected() -> None:
    door = Door()
    assert door.come() is FREE
    assert door.personal()


def test_a_refusal_holds_from_its_own_event_on_for_the_whole_profile_until_it_is_taken_back() -> None:
    door = Door()
    door.apply(Linked(1, "shop", door.cell("anonymous:a1"), door.cell("u1")))
    assert door.come("anonymous:a1", stated=REFUSED) == Judgement("consent", (), REFUSED)
    assert door.come("u1").withheld == door.come("anonymous:a1", "u1").withheld == "consent"
    assert not door.personal("u1")
    assert door.come("u2") is FREE
    door.clock.advance(10)
    assert door.come("u1", stated=GRANTED) == Judgement("", (), GRANTED)
    assert door.come("anonymous:a1") is FREE


def test_what_is_said_of_two_ids_holds_for_each_though_nothing_links_them() -> None:
    door = Door()
    door.come("anonymous:a1", "u1", stated=REFUSED)
    assert [door.come(one).withheld for one in ("anonymous:a1", "u1")] == ["consent", "consent"]


def test_the_signal_of_the_browser_withholds_and_states_nothing() -> None:
    door = Door()
    assert door.come(gpc=True) == Judgement("gpc")
    assert door.come() is FREE
    assert not door.gate.agreement("shop", ("u1",), stated=None, gpc=True).personal


def test_one_purpose_refused_leaves_the_others() -> None:
    door = Door()
    assert door.come(stated={"ads": False}) == Judgement("", ("ads",), {"ads": False})
    assert door.come() == Judgement("", ("ads",))
    assert door.gate.agreement("shop", ("u1",), stated=None, gpc=False).denied == {"ads"}
    door.clock.advance(5)
    door.come(stated={"ads": True})
    assert door.come() is FREE


def test_what_has_to_be_agreed_to_is_not_kept_before_it_is() -> None:
    door = Door(required=True)
    assert door.come() == Judgement("consent", ("ads",))
    assert door.come(stated=GRANTED) == Judgement("", ("ads",), GRANTED)
    assert door.come().withheld == ""
    assert not door.personal("u2")


def test_what_is_stated_again_is_written_once() -> None:
    door = Door()
    assert door.come(stated=GRANTED).statement == GRANTED
    for _ in range(3):
        door.clock.advance(1_000)
        assert door.come(stated=GRANTED) is FREE
    assert door.come(stated=REFUSED).statement == REFUSED
    door.clock.advance(1_000)
    assert door.come(stated=REFUSED).statement is None


def test_a_late_statement_does_not_override_a_newer_one() -> None:
    door = Door()
    door.come(stated=REFUSED, at_ms=START_MS + 10)
    assert door.come(stated=GRANTED, at_ms=START_MS + 9) == Judgement("consent")
    assert door.come().withheld == "consent"


def test_nor_does_it_override_a_refusal_that_was_only_repeated() -> None:
    door = Door()
    door.come(stated=REFUSED, at_ms=START_MS + 10)
    door.come(stated=REFUSED, at_ms=START_MS + 30)
    assert door.come(stated=GRANTED, at_ms=START_MS + 20).withheld == "consent"
    assert door.come(stated=GRANTED, at_ms=START_MS + 40).withheld == ""


def test_a_refusal_of_an_earlier_process_may_have_been_repeated_until_this_one_began() -> None:
    door = Door()
    door.come(stated=REFUSED, at_ms=START_MS + 10)
    door.clock.advance(1_000)
    door.restart()
    assert door.come(stated=GRANTED, at_ms=START_MS + 999).withheld == "consent"
    assert door.come(stated=GRANTED, at_ms=START_MS + 1_000).withheld == ""


def test_history_that_is_imported_is_judged_by_its_own_times() -> None:
    door = Door()
    past_ms = START_MS - 10**9
    door.come(stated=REFUSED, at_ms=past_ms)
    assert door.come(stated=GRANTED, at_ms=past_ms + 5).withheld == ""


def test_an_event_is_not_kept_against_its_own_word_however_late_it_comes() -> None:
    door = Door()
    door.come(stated=GRANTED, at_ms=START_MS + 10)
    assert door.come(stated=REFUSED, at_ms=START_MS + 5) == Judgement("consent")
    assert door.come() is FREE


def test_of_too_many_refusals_the_oldest_is_taken_to_have_been_repeated_until_now() -> None:
    assert limits.REFUSALS_MAX == 65_536
    door = Door()
    door.come("u1", stated=REFUSED, at_ms=START_MS + 1)
    door.clock.advance(100)
    for number in range(limits.REFUSALS_MAX):
        door.gate.judge("shop", (f"v{number}",), stated=REFUSED, gpc=False, happened_ms=START_MS, message=1)
    assert door.come("u1", stated=GRANTED, at_ms=START_MS + 99).withheld == "consent"
    assert door.come("u1", stated=GRANTED, at_ms=START_MS + 100).withheld == ""


def erased(door: Door, *ids: str, messages: tuple[int, ...] = (), until_ms: int = START_MS + 1_000) -> None:
    stones = tuple(door.subjects.tombstone("shop", one) for one in ids)
    cells = tuple(door.cell(one) for one in ids)
    now_ms = door.clock.now_ms()
    door.apply(Erased(now_ms, "shop", "e1", cells, tombstones=stones, messages=messages, until_ms=until_ms))


def test_late_and_repeated_events_of_the_erased_leave_a_stub_until_the_horizon() -> None:
    door = Door()
    erased(door, "u1", "anonymous:a1", messages=(7,))
    door.clock.advance(10)
    for ids in (("u1",), ("anonymous:a1",), ("anonymous:b1", "u1")):
        assert door.come(*ids, at_ms=START_MS - 5).withheld == "erased"
        assert door.come(*ids, message=7).withheld == "erased"
        assert door.come(*ids) is FREE, "who comes back is somebody new"
    assert door.come("anonymous:b1", at_ms=START_MS - 5) is FREE
    door.clock.advance(1_000)
    assert door.come("u1", at_ms=START_MS - 5) is FREE


def test_who_was_erased_twice_is_known_by_what_was_remembered_each_time() -> None:
    door = Door()
    erased(door, "u1", messages=(7,))
    erased(door, "u1", messages=(8,))
    assert [door.come("u1", message=message, at_ms=START_MS + 1).withheld for message in (7, 8, 9)] == [
        "erased", "erased", ""
    ]  # fmt: skip


def test_a_gate_that_is_made_later_knows_the_erased_of_before() -> None:
    door = Door()
    erased(door, "u1")
    door.restart()
    assert door.come("u1", at_ms=START_MS - 1).withheld == "erased"


def test_bytes_that_name_somebody_who_was_erased_since_are_told() -> None:
    door = Door()
    raw = b'{"userId": "u1", broken'
    assert not door.gate.names_erased("shop", raw, START_MS)
    door.clock.advance(10)
    erased(door, "u1")
    assert door.gate.names_erased("shop", raw, START_MS)
    assert not door.gate.names_erased("shop", raw, START_MS + 11), "they came in later: they are of somebody new"
    assert not door.gate.names_erased("film", raw, START_MS)
    assert not door.gate.names_erased("shop", b'{"userId": "u2"}', START_MS)


def test_tombstones_that_are_over_are_not_kept_for_ever() -> None:
    door = Door()
    for number in range(100):
        door.clock.advance(10)
        erased(door, f"u{number}", until_ms=door.clock.now_ms() + 15)
        door.come(f"u{number}", at_ms=START_MS)
    assert len(door.gate._erased) < 60


def test_it_is_open_until_somebody_has_said_something_or_was_erased() -> None:
    assert Door().gate.is_open
    assert not Door(required=True).gate.is_open
    door = Door()
    door.come("u1", stated=REFUSED)
    assert not door.gate.is_open
    door = Door()
    stone = door.subjects.tombstone("shop", "u1")
    door.apply(Erased(START_MS, "shop", "e1", (door.cell("u1"),), tombstones=(stone,), until_ms=START_MS + 1))
    assert not door.gate.is_open
