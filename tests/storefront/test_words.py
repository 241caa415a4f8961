"""A profile in words."""

import msgspec
import pytest

from instanter.client import Profile
from instanter.storefront.words import seen_of

from .engine import PROFILE


def profile(**told):
    return msgspec.convert({**PROFILE, **told}, Profile)


def test_a_profile_is_told_in_a_sentence_with_numbers_tastes_and_items():
    seen = seen_of(profile(), str.upper, "€{}".format)
    assert seen.sentence == "3 views. Leans to mid-century, around €402."
    assert ("Views", "3") in seen.numbers
    assert ("Price level", "€402") in seen.numbers
    assert ("Last act", "4 s ago") in seen.numbers
    styles = seen.tastes[0]
    assert (styles.title, [(one.name, one.share) for one in styles.names]) == (
        "Styles, this visit", [("mid-century", 1.0), ("rustic", 0.5)])  # fmt: skip
    assert [item.title for item in seen.items[0].items] == ["SKU-0001", "GONE"]
    assert seen.consent == {"personalization": True}


@pytest.mark.parametrize("features", [
    {}, {"views": None, "session_styles": "none", "session_items": [1, {"name": None}]},
    {"views": True, "session_styles": [{"name": "a", "score": "b"}]},
    {"session_styles": [{"name": "a", "score": 0}]},
])  # fmt: skip
def test_what_is_missing_or_of_another_type_is_left_out(features):
    seen = seen_of(profile(features=features, consent={}), str, str)
    assert (seen.sentence, seen.tastes, seen.items, seen.consent) == ("No view yet.", (), (), {})


def test_an_act_of_this_second_was_just_now():
    assert ("Last act", "just now") in seen_of(profile(features={"last_seen": 0.4}), str, str).numbers
