"""Who is who: a function of the set of sign-ins, whatever their order; strangers are never made one person."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.events.envelope import Linked, Tied, Unlinked
from instanter.foundation.limits import CLAIMS_OF_DEVICE_MAX, LINKS_MAX
from instanter.identity.links import Links, Tie, Verdict

PHONE, LAPTOP, KIOSK = 1, 2, 3
ANNA, BERT, CARL = 101, 102, 103


class Said(NamedTuple):
    """One thing that events tell of who is who."""

    kind: Tied
    cell: int
    owner: int
    user: int = 0


def signed_in(device: int, user: int) -> Linked:
    return told(Said(Tied.SIGN_IN, device, user))


def claim(device: int, user: int) -> Linked:
    return told(Said(Tied.CLAIM, 1_000 * device + user, device, user))


def alias(one: int, other: int) -> Linked:
    return told(Said(Tied.ALIAS, one, other))


def told(said: Said) -> Linked:
    return Linked(1, "default", said.cell, said.owner, b"", sealed=True, kind=int(said.kind), user=said.user)


def links_of(*links: Linked) -> Links:
    found = Links()
    for link in links:
        found.link(link)
    return found


def test_a_device_is_read_with_the_only_user_who_signed_in_there():
    links = links_of(signed_in(PHONE, ANNA), signed_in(LAPTOP, ANNA))
    assert links.cells(ANNA) == links.cells(PHONE) == links.cells(LAPTOP) == [ANNA, PHONE, LAPTOP]


def test_a_shared_device_is_nobodys_and_alone():
    links = links_of(signed_in(KIOSK, ANNA), signed_in(KIOSK, BERT), signed_in(PHONE, ANNA))
    assert links.cells(ANNA) == [ANNA, PHONE]
    assert links.cells(BERT) == [BERT]
    assert links.cells(KIOSK) == [KIOSK]
    assert links.is_shared(KIOSK)


def test_a_user_on_a_device_of_somebody_else_reads_nothing_of_it():
    links = links_of(signed_in(PHONE, ANNA))
    assert links.together(BERT, PHONE) == [BERT]
    assert links.together(0, PHONE) == []
    assert links.together(ANNA, LAPTOP) == [ANNA, PHONE, LAPTOP]


def test_two_users_who_are_one_person_share_no_device():
    links = links_of(signed_in(PHONE, ANNA), signed_in(PHONE, BERT), alias(ANNA, BERT))
    assert links.cells(PHONE) == [ANNA, BERT, PHONE]
    links.unlink(Unlinked(2, "default", ANNA, BERT))
    assert links.cells(PHONE) == [PHONE]
    links.link(alias(ANNA, BERT))
    assert links.cells(PHONE) == [ANNA, BERT, PHONE]


def test_a_shared_device_stays_nobodys_when_one_of_two_is_unlinked_or_erased():
    for leave in ("unlink", "erase"):
        links = links_of(signed_in(KIOSK, ANNA), signed_in(KIOSK, BERT))
        if leave == "unlink":
            links.unlink(Unlinked(2, "default", KIOSK, ANNA))
        else:
            links.drop([ANNA])
        assert links.cells(BERT) == [BERT]
        again = restored(links)
        assert again.cells(BERT) == [BERT]
        links.link(signed_in(KIOSK, ANNA))
        assert links.cells(KIOSK) == [KIOSK]


def test_a_claim_is_the_devices_until_its_user_signs_in_there():
    links = links_of(claim(PHONE, ANNA), claim(PHONE, BERT))
    assert links.cells(PHONE) == [PHONE, 1_000 * PHONE + ANNA, 1_000 * PHONE + BERT]
    assert links.cells(ANNA) == [ANNA]
    links.link(signed_in(PHONE, ANNA))
    assert links.cells(ANNA) == [ANNA, PHONE, 1_000 * PHONE + ANNA]
    assert links.cells(PHONE) == [ANNA, PHONE, 1_000 * PHONE + ANNA, 1_000 * PHONE + BERT]
    assert links.cells(BERT) == [BERT]


def test_claims_share_no_device():
    links = links_of(signed_in(PHONE, ANNA), claim(PHONE, BERT))
    assert links.cells(ANNA) == [ANNA, PHONE]
    assert not links.is_shared(PHONE)


def test_an_erasure_reaches_everything_that_was_linked_or_names_the_person():
    links = links_of(
        signed_in(PHONE, ANNA), signed_in(KIOSK, ANNA), signed_in(KIOSK, BERT), claim(LAPTOP, ANNA), claim(PHONE, CARL),
        claim(KIOSK, BERT), claim(KIOSK, CARL),
    )  # fmt: skip
    assert set(links.reach(ANNA)) == {ANNA, PHONE, KIOSK, 1_000 * LAPTOP + ANNA, 1_000 * PHONE + CARL}
    assert set(links.naming(ANNA)) == {ANNA, PHONE, 1_000 * LAPTOP + ANNA}
    assert set(links.reach(KIOSK)) == {KIOSK, 1_000 * KIOSK + CARL}
    assert links.users_on(KIOSK) == 2
    links.drop(links.reach(ANNA))
    assert links.count_about([ANNA, PHONE, KIOSK]) == 0


def test_twelve_devices_are_all_linked():
    links = links_of(*(signed_in(device, ANNA) for device in range(1, 13)))
    assert len(links.cells(ANNA)) == 13
    assert all(links.cells(device) == links.cells(ANNA) for device in range(1, 13))


def test_at_the_bound_the_link_is_refused_and_the_device_is_nobodys():
    links = links_of(*(signed_in(device, 5_000) for device in range(1, LINKS_MAX + 1)))
    beyond = signed_in(4_999, 5_000)
    assert links.judge(beyond) is Verdict.FULL
    assert links.judge(signed_in(1, 5_000)) is Verdict.KNOWN
    links.link(msgspec.structs.replace(beyond, kind=Tied.BEYOND))
    assert 4_999 not in links.cells(5_000)
    assert links.beyond([5_000]) == 1
    links.link(signed_in(4_999, 5_001))
    assert links.cells(5_001) == [5_001]
    assert restored(links).beyond([5_000]) == 1


def test_what_is_coming_counts_already():
    links = links_of(*(signed_in(device, 5_000) for device in range(1, LINKS_MAX)))
    assert links.judge(signed_in(4_999, 5_000), {}) is Verdict.NEW
    assert links.judge(signed_in(4_999, 5_000), {5_000: 1}) is Verdict.FULL


def test_claims_cannot_fill_the_room_for_sign_ins():
    links = links_of(*(claim(device, ANNA) for device in range(1_001, 1_001 + LINKS_MAX)))
    assert links.judge(claim(1, ANNA)) is Verdict.FULL
    assert links.judge(signed_in(PHONE, ANNA)) is Verdict.NEW
    links = links_of(*(claim(PHONE, user) for user in range(101, 101 + CLAIMS_OF_DEVICE_MAX)))
    assert links.judge(claim(PHONE, 999)) is Verdict.FULL


def test_links_of_a_former_log_are_read_on_and_a_second_user_makes_the_device_shared():
    links = links_of(Linked(1, "default", PHONE, ANNA, b""), Linked(1, "default", PHONE, BERT, b""))
    assert links.cells(BERT) == [BERT, PHONE]
    links.link(signed_in(PHONE, BERT))
    assert links.cells(BERT) == [BERT, PHONE]
    links.link(signed_in(PHONE, ANNA))
    assert (links.cells(BERT), links.cells(ANNA), links.cells(PHONE)) == ([BERT], [ANNA], [PHONE])
    assert restored(links).cells(PHONE) == [PHONE]


FORMERLY = st.builds(Said, st.just(Tied.FORMERLY), st.integers(1, 5), st.integers(101, 105), st.just(0))
SIGN_INS = st.builds(Said, st.just(Tied.SIGN_IN), st.integers(1, 5), st.integers(101, 105), st.just(0))
ALIASES = st.builds(Said, st.just(Tied.ALIAS), st.integers(101, 105), st.integers(101, 105), st.just(0))
CLAIMS = st.tuples(st.integers(1, 5), st.integers(101, 105)).map(
    lambda pair: Said(Tied.CLAIM, 1_000 * pair[0] + pair[1], *pair)
)
STORY = st.lists(st.one_of(SIGN_INS, SIGN_INS, ALIASES, CLAIMS), max_size=20)
CELLS = [*range(1, 6), *range(101, 106)]


def restored(links: Links) -> Links:
    """What a checkpoint makes of it."""
    ties = msgspec.convert(msgspec.msgpack.decode(msgspec.msgpack.encode(list(links.ties()))), list[Tie])
    return Links(links.former(), ties)


def picture(links: Links) -> list[tuple[list[int], list[int], list[int], bool]]:
    return [(links.cells(cell), sorted(links.reach(cell)), sorted(links.naming(cell)), links.is_shared(cell))
            for cell in CELLS]  # fmt: skip


@given(STORY.flatmap(lambda story: st.tuples(st.just(story), st.permutations(story))))
def test_any_order_of_arrival_gives_the_same(stories: tuple[list[Said], list[Said]]):
    story, shuffled = stories
    links = links_of(*map(told, story))
    assert picture(links) == picture(links_of(*map(told, shuffled)))
    assert picture(links) == picture(restored(links))
    assert links.count_about(CELLS) == len(links)


@given(STORY)
def test_strangers_are_never_one_person(story: list[Said]):
    """A plain reading of the rule: whom aliases connect is one person; a device is theirs if nobody else signed in."""
    links = links_of(*map(told, story))
    person = {user: user for user in range(101, 106)}
    for _ in person:
        for said in story:
            if said.kind is Tied.ALIAS:
                person[said.cell] = person[said.owner] = min(person[said.cell], person[said.owner])
    users = {device: {person[one.owner] for one in story if one.kind is Tied.SIGN_IN and one.cell == device}
             for device in range(1, 6)}  # fmt: skip
    signed = {(one.cell, one.owner) for one in story if one.kind is Tied.SIGN_IN}
    claims = {one for one in story if one.kind is Tied.CLAIM}
    for user, root in person.items():
        expected = {other for other, its in person.items() if its == root}
        expected |= {device for device, its in users.items() if its == {root}}
        expected |= {one.cell for one in claims if person[one.user] == root and (one.owner, one.user) in signed}
        assert set(links.cells(user)) == expected
    for device, its in users.items():
        own = {one.cell for one in claims if one.owner == device and (device, one.user) not in signed}
        expected = set(links.cells(min(its))) if len(its) == 1 else {device}
        assert set(links.cells(device)) == expected | own


@settings(max_examples=300)
@given(st.lists(st.tuples(
    st.sampled_from(["link", "unlink", "drop"]),
    st.one_of(SIGN_INS, ALIASES, ALIASES, CLAIMS, FORMERLY, st.just(Said(Tied.BEYOND, 3, 103))),
), max_size=25))  # fmt: skip
def test_who_was_asked_for_before_a_change_is_known_as_after_it(changes: list[tuple[str, Said]]):
    links = Links()
    for change, said in changes:
        if change == "link":
            links.link(told(said))
        elif change == "unlink":
            links.unlink(Unlinked(2, "default", said.cell, said.owner))
        else:
            links.drop([said.cell], 3)
        assert picture(links) == picture(restored(links))


def test_somebody_with_many_aliases_and_devices_is_looked_for_once_and_not_for_each_device():
    """490 aliases and 150 devices of two of them: 20 s a batch of 100 events, where each device walked them all."""
    links, walked = Links(), list[int]()
    walk = links._linked_with
    links._linked_with = lambda user: (walked.append(user), walk(user))[1]  # type: ignore[method-assign]
    for number in range(490):
        links.link(alias(1_000 + number, 1_001 + number))
    for device in range(150):
        links.link(signed_in(device + 1, 1_001))
        links.link(signed_in(device + 1, 1_002))
    walked.clear()
    for _ in range(100):
        assert len(links.together(1_001, 1)) == 491 + 150
        assert links.judge(signed_in(151, 1_001)) is Verdict.NEW
    assert len(walked) <= 1


@given(STORY, SIGN_INS)
def test_a_link_taken_back_is_as_if_it_had_never_been_unless_the_device_was_shared(story: list[Said], said: Said):
    story = [one for one in story if one != said]
    before, links = picture(links_of(*map(told, story))), links_of(*map(told, story))
    links.link(told(said))
    shared = links.is_shared(said.cell)
    links.unlink(Unlinked(2, "default", said.cell, said.owner))
    assert picture(links) == before if not shared else links.cells(said.cell)[0] == said.cell
    assert links.is_shared(said.cell) == shared
