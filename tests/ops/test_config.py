from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.api.tenancy import NO_TERMS
from instanter.features.carriers import carriers
from instanter.features.declaration import DEFAULT_FEATURES
from instanter.foundation.errors import ConfigRejected
from instanter.foundation.limits import (
    CONFIG_BYTES_MAX,
    FEATURES_MAX,
    ITEM_PLACES_MAX,
    LEARNER_INPUTS_MAX,
    LEARNER_WEIGHT_MAX,
    NAMES_HEARD_MAX,
    SCHEMA_FIELDS_MAX,
    SCHEMA_WORDS_MAX,
    SCHEMAS_MAX,
)
from instanter.ops.config import load, parse, sections
from instanter.ops.reference import template
from instanter.ops.settings import Config
from instanter.ops.wiring import (
    load_checked,
    options_of,
    tell_of_roles,
    tell_of_weights,
    terms_of,
    weights_without_effect,
)

FEATURE = '[[features]]\nname = "{name}"\non = ["Product Viewed"]\naggregate = "count"\n'


def refusal(text: str) -> ConfigRejected:
    with pytest.raises(ConfigRejected) as caught:
        parse(text, file="shop.toml")
    return caught.value


LEARNER = """
[[placements]]
id = "home.hero"
learner = {{ inputs = [{inputs}], weight_max = {weight_max} }}
"""


@pytest.mark.parametrize(("inputs", "weight_max", "field"), [
    (LEARNER_INPUTS_MAX + 1, LEARNER_WEIGHT_MAX, "inputs"), (1, LEARNER_WEIGHT_MAX + 1, "weight_max"),
])  # fmt: skip
def test_a_learner_has_so_many_inputs_and_weights_within_so_much(inputs: int, weight_max: float, field: str) -> None:
    def text(inputs: int, weight_max: float) -> str:
        names = ", ".join(f'"input.{number}"' for number in range(inputs))
        return LEARNER.format(inputs=names, weight_max=weight_max)

    (hero,) = (one for one in parse(text(LEARNER_INPUTS_MAX, LEARNER_WEIGHT_MAX)).placements if one.id == "home.hero")
    assert hero.learner is not None
    assert (len(hero.learner.inputs), hero.learner.weight_max) == (LEARNER_INPUTS_MAX, LEARNER_WEIGHT_MAX)
    with pytest.raises(ConfigRejected, match=field):
        parse(text(inputs, weight_max))


def test_the_template_is_exactly_the_defaults() -> None:
    assert parse(template()) == Config()


def test_the_template_with_everything_uncommented_is_still_the_defaults() -> None:
    text = re.sub(r"(?m)^#(?=\S)", "", template())
    assert text.count("[[features]]") == len(DEFAULT_FEATURES)
    assert parse(text) == Config()


def test_the_template_has_a_line_for_every_setting() -> None:
    for section, kind in sections():
        table = template().split(f"\n[{section}]\n")[1].split("\n[")[0]
        tables = re.findall(rf"(?m)^#     \[\[{section}\.(\w+)\]\]$", table)
        assert re.findall(r"(?m)^(\w+) = ", table) + tables == list(kind.__struct_fields__)


def test_no_file_means_the_defaults() -> None:
    assert load(None) == Config() == parse("")


def test_what_a_file_sets_is_set_and_the_rest_stays() -> None:
    config = parse(
        "[log]\npartitions = 4\n[decide]\nexploration = 0\n"
        '[events.names]\n"Item Opened" = "Product Viewed"\n[ranker.weights]\nclicks = 2\n')
    assert config.log.partitions == 4
    assert config.log.keep_days == 90
    assert config.decide.exploration == 0.0
    assert config.events.names == {"Item Opened": "Product Viewed"}
    assert config.ranker.weights == {"clicks": 2.0}


def test_a_feature_of_a_new_name_is_added_and_one_of_a_known_name_replaces() -> None:
    config = parse(FEATURE.format(name="mine") + FEATURE.format(name="views"))
    assert [one.name for one in config.features] == [*(one.name for one in DEFAULT_FEATURES), "mine"]
    assert next(one for one in config.features if one.name == "views").aggregate == "count"


def test_a_feature_takes_a_role_over_from_the_built_in_one() -> None:
    config = parse(FEATURE.format(name="sold") + 'scope = "item"\nrole = "buys"\n')
    assert {one.name: one.role for one in config.features if one.name in ("buys", "sold")} == {
        "buys": "none", "sold": "buys"}
    assert carriers(config.features) == {**carriers(DEFAULT_FEATURES), "buys": "sold"}


@pytest.mark.parametrize(("text", "line", "reason", "suggestion"), [
    (FEATURE.format(name="a") + 'role = "purchase"', 5, 'not "purchase"', 'did you mean "purchases"?'),
    (FEATURE.format(name="a") + 'role = "buys"', 1, 'a feature of the role "buys" has the scope item', "another role"),
    (FEATURE.format(name="bought_items"), 4, 'a feature of the role "purchases" is a last_k', 'role = "none"'),
    ("".join(FEATURE.format(name=name) + 'scope = "item"\nrole = "buys"\n' for name in "ab"), 12,
     'has "buys" twice', "the first is at line 1"),
    (FEATURE.format(name="trending") + 'role = "none"', 1, 'source "trending" needs a feature of the role "trending"',
     'role = "trending"'),
    (FEATURE.format(name="trending") + 'role = "none"\n[[placements]]\nid = "home.hero"\nsources = ["trending"]', 8,
     'placement "home.hero": its source "trending"', "leave the source out"),
])  # fmt: skip
def test_a_role_that_cannot_be_is_refused_with_its_line(text: str, line: int, reason: str, suggestion: str) -> None:
    error = refusal(text)
    assert reason in error.reason
    assert suggestion in error.suggestion
    assert error.line == line


def test_a_start_without_purchases_warns(caplog: pytest.LogCaptureFixture) -> None:
    tell_of_roles(Config())
    assert not caplog.records
    tell_of_roles(parse(FEATURE.format(name="bought_items") + 'role = "none"'))
    assert '"purchases"' in caplog.text


@pytest.mark.parametrize(("name", "aggregate", "unit", "reason"), [
    ("since", "time_since", "d", 'feature "since": time_since is in seconds, not in "d"'),
    ("since", "time_since", "hours", 'time_since is in seconds, not in "hours"'),
    ("seen", "count", "Days", '"Days" is a time, and count without a value counts no time'),
])  # fmt: skip
def test_a_unit_that_is_not_that_of_the_value_is_refused(name: str, aggregate: str, unit: str, reason: str) -> None:
    declared = FEATURE.format(name=name).replace('aggregate = "count"', f'aggregate = "{aggregate}"')
    error = refusal(declared + f'unit = "{unit}"')
    assert reason in error.reason
    assert error.suggestion


def test_a_start_with_a_weight_that_adds_the_same_to_all_warns(caplog: pytest.LogCaptureFixture) -> None:
    tell_of_weights(parse('[ranker.weights]\n"item.click_lift" = 0.4\n"person.orders" = 0.0'))
    assert not caplog.records
    placed = '[[placements]]\nid = "new"\nweights = {"person.views" = 1.0}'
    config = parse(f'[ranker.weights]\n"person.orders" = 0.4\n{placed}')
    tell_of_weights(config)
    assert "changes no list" in caplog.text
    assert weights_without_effect(config) == ["ranker.weights: person.orders", 'placement "new": person.views']


def test_a_placement_of_a_known_id_replaces_the_default() -> None:
    config = parse('[[placements]]\nid = "home.hero"\nlimit = 2\n[[placements]]\nid = "new"\n')
    assert (config.placements[0].id, config.placements[0].limit) == ("home.hero", 2)
    assert config.placements[-1].id == "new"


@pytest.mark.parametrize(("text", "line", "reason", "suggestion"), [
    ("[log]\npartitons = 4", 2, '[log] has no setting "partitons"', 'did you mean "partitions"?'),
    ("\n[sesion]\ngap_min = 3", 2, 'no section or setting "sesion"', 'did you mean "session"?'),
    ("[log]\ngap_min = 4", 2, "no setting", '"gap_min" belongs to [session]'),
    ("[geo]\nx = 4", 2, "no setting", "there are database"),
    ("[log]\n\npartitions = 0", 3, "log.partitions must be a whole number from 1 to 1024, not 0", ""),
    ("[log]\npartitions = 1025", 2, "not 1025", ""),
    ("[log]\npartitions = '4'", 2, 'not "4"', "write it without quotes"),
    ("[log]\npartitions = 4.5", 2, "not 4.5", ""),
    ("[log]\npartitions = true", 2, "not true", ""),
    ("[decide]\nexploration = nan", 2, "a number from 0 to 1, not nan", ""),
    ("log = 3", 1, "log is a table", "[log]"),
    ("[[log]]\npartitions = 3", 1, "log is a table", "[log]"),
    ("log.partitions = 0", 1, "log.partitions", ""),
    ("log = {partitions = 1, segment_mb = 0}", 1, "log.segment_mb", ""),
    ("[ranker.weights]\nclicks = 1\nbuys = 'x'", 3, "ranker.weights.buys", "without quotes"),
    ("[ranker.weights]\nclicks = nan", 2, "ranker.weights.clicks", ""),
    ("[events.names]\n'' = 'Product Viewed'", 1, "events.names", ""),
    ("[events.names]\nbook = 'Product Vewed'", 2, '"book" is mapped to "Product Vewed", which no feature hears',
     'did you mean "Product Viewed"?'),
    ("[session]\nlength_max_h = 1\ngap_min = 90", 3, "longer than session.length_max_h", ""),
    ("[lateness]\nsequence_min = 90\nwindow_h = 1", 2, "longer than lateness.window_h", ""),
    ("[features]\nname = 'x'", 1, "list of tables", "[[features]]"),
    ("[[features]]\nname = 'x'\non = ['A']", 1, 'lacks "aggregate"', ""),
    (FEATURE.format(name="a") + "agregate = 1", 5, "no setting", 'did you mean "aggregate"?'),
    (FEATURE.format(name="a") + "k = 65", 5, "a whole number from 0 to 64", ""),
    (FEATURE.format(name="a") + "window = '1h'", 5, 'feature "a": count takes no window', "windowed"),
    ("[[features]]\nname='a'\non=['A']\naggregate='topk'", 4, "one of count", 'did you mean "top_k"?'),
    ("[[features]]\nname='a'\non='A'\naggregate='count'", 3, "features.on", 'write it in brackets: ["A"]'),
    ("[[features]]\nname='a'\non=['A',\n 3]\naggregate='count'", 4, "not 3", ""),
    ("[[features]]\nname='a'\non=[]\naggregate='count'", 3, "features.on", ""),
    (FEATURE.format(name="a") * 2, 6, '"a" twice', "line 1"),
    (FEATURE.format(name="a") + "scope = 'session'\naggregat = 3", 6, "no setting", ""),
    ("[[placements]]\nid = 'a'\nsources = [\n 'trending',\n 'trendin']", 5, "one of", 'did you mean "trending"?'),
    ("[[placements]]\nid = 'a'\nkind = 'rerank'", 1, "placement", 'sources = ["candidates"]'),
    ("[[placements]]\nid = 'a'\n[[placements]]\nid = 'a'", 4, "twice", "line 1"),
    ("[[placements]]\nid = ''", 2, "placements.id must be a text of 1 to 256", ""),
    ("[log]\npartitions = four", 2, "not TOML", "quotes"),
    ("[log\n", 1, "not TOML", ""),
    ("a = 1\na = 2", 2, "not TOML", ""),
])
def test_an_error_names_line_reason_and_suggestion(text: str, line: int, reason: str, suggestion: str) -> None:
    error = refusal(text)
    assert (error.file, error.line) == ("shop.toml", line)
    assert reason in error.reason
    assert suggestion in error.suggestion
    assert str(error).startswith(f"shop.toml:{line}: ")


@pytest.mark.parametrize("target", [
    "Product Viewed", "product_viewed", "purchase", "Quiz Ended", "Sofa Assembled in AR",
])  # fmt: skip
def test_a_name_may_be_mapped_to_what_is_known_or_heard_and_to_what_is_like_nothing_known(target: str) -> None:
    heard = FEATURE.format(name="a").replace("'A'", "'Quiz Ended'").replace('"A"', '"Quiz Ended"')
    assert parse(f"[events.names]\nbook = '{target}'\n" + heard).events.names == {"book": target}


def test_a_session_window_is_held_against_the_configured_session() -> None:
    text = FEATURE.format(name="a").replace("count", "windowed") + "window = '2h'\nscope = 'session'\n"
    assert parse(text)
    assert refusal("[session]\nlength_max_h = 1\n" + text).line == 7


def test_more_features_than_fit_are_refused() -> None:
    text = "".join(FEATURE.format(name=f"f{number}") for number in range(FEATURES_MAX))
    assert str(FEATURES_MAX) in refusal(text).reason


@pytest.mark.parametrize("text", ["a = " + "[" * 100_000, "a = " + "9" * 5_000, "a = 2024-99-99", "a = '\x00'"])
def test_hostile_text_is_refused_and_nothing_else(text: str) -> None:
    refusal(text)


TEMPLATE = re.sub(r"(?m)^# .*\n", "", template())


@settings(max_examples=60)
@given(st.integers(0, len(TEMPLATE)), st.integers(0, 30), st.text(alphabet='[]{}="\'\n#.,ab1\\', max_size=8))
def test_whatever_is_written_over_a_file_is_taken_or_refused(start: int, length: int, text: str) -> None:
    with contextlib.suppress(ConfigRejected):
        parse(TEMPLATE[:start] + text + TEMPLATE[start + length:])


def test_a_database_is_relative_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_text("[geo]\ndatabase = 'geo.mmdb'\n")
    assert load(path).geo.database == str(tmp_path / "geo.mmdb")


@pytest.mark.parametrize(("content", "reason", "line"), [
    (None, "there is no such file", 0),
    (b"[log]\n\xff", "not UTF-8", 2),
    (b"#" * (CONFIG_BYTES_MAX + 1), "larger than", 0),
])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes | None, reason: str, line: int) -> None:
    path = tmp_path / "shop.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigRejected, match=reason) as caught:
        load(path)
    assert (caught.value.file, caught.value.line) == (str(path), line)


def test_a_folder_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigRejected, match="cannot be read"):
        load(tmp_path)


def test_a_lateness_longer_than_the_gap_is_refused_because_sessions_could_not_be_joined():
    with pytest.raises(ConfigRejected) as refused:
        parse("[session]\ngap_min = 10\n", file="shop.toml")
    assert str(refused.value).startswith("shop.toml:2: lateness.sequence_min (30) is longer than session.gap_min (10)")
    assert refused.value.suggestion == "set lateness.sequence_min = 10"


def test_ids_forgotten_before_events_are_too_late_are_refused():
    with pytest.raises(ConfigRejected) as refused:
        parse("[dedup]\nwindow_h = 12\n", file="shop.toml")
    assert "a late duplicate would count twice" in str(refused.value)
    assert refused.value.line == 2


def test_a_weight_without_an_input_names_file_line_and_what_was_meant(tmp_path: Path):
    file = tmp_path / "shop.toml"
    file.write_text('[ranker.weights]\n"cross.price_fitt" = 1.0\n')
    with pytest.raises(ConfigRejected) as refused:
        load_checked(file)
    assert str(refused.value).startswith(f"{file}:2: ")
    assert 'did you mean "cross.price_fit"?' in str(refused.value)


def test_terms_of_tenants_are_read_and_what_they_do_not_say_is_as_for_all():
    config = parse('[limits]\nevents_per_s = 7\n[[tenants]]\nid = "two"\nrequests_per_s = 5\nshare = 3\n')
    terms = terms_of(config, dev=False)
    assert (terms.of("two").requests_per_s, terms.of("two").events_per_s, terms.of("two").share) == (5, 7, 3)
    assert terms.of("three") == terms.others
    assert terms.others.requests_per_s == config.limits.tenant_requests_per_s
    assert terms_of(config, dev=True).of("two") == NO_TERMS


@pytest.mark.parametrize("text", [
    "[[tenants]]\nshare = 2", '[[tenants]]\nid = "No Name"', '[[tenants]]\nid = "a"\nshare = 0',
    '[[tenants]]\nid = "a"\n[[tenants]]\nid = "a"', '[[tenants]]\nid = "a"\nrequests_per_s = -1',
])
def test_terms_that_cannot_be_are_refused_with_their_line(text: str) -> None:
    assert refusal(text).line >= 1


@pytest.mark.parametrize(("lines", "line", "said"), [
    ('every_min = 5\nplacements = ["home.her"]', 3, 'no placement "home.her"'),
    ("every_min = -1", 2, "from 0 to"),
])  # fmt: skip
def test_a_training_of_nothing_is_refused_with_its_line(lines: str, line: int, said: str) -> None:
    error = refusal(f"[training]\n{lines}")
    assert error.line == line
    assert said in error.reason


def test_placements_of_the_file_can_be_trained() -> None:
    own = '[[placements]]\nid = "own"\nkind = "items"\nlimit = 3\n'
    assert parse(f'[training]\nplacements = ["own", "search"]\n{own}').training.placements == ("own", "search")


@pytest.mark.parametrize(("public", "seen", "hidden"), [
    ("", "title", "margin"), ('public_fields = ["margin"]', "margin", "title"),
])  # fmt: skip
def test_public_fields_are_those_that_are_named_or_what_a_page_shows_anyway(public: str, seen: str, hidden: str):
    options = options_of(parse(f"[catalogue]\n{public}"), clock_of_events=False).catalogue
    assert options.public_fields is not None
    assert seen in options.public_fields
    assert not {hidden, "stock"} & options.public_fields


def test_all_fields_can_be_public_and_a_currency_is_a_code():
    text = '[catalogue]\npublic_fields = ["*"]\ncurrency = "EUR"'
    options = options_of(parse(text), clock_of_events=False).catalogue
    assert (options.public_fields, options.currency) == (None, "EUR")
    with pytest.raises(ConfigRejected):
        parse('[catalogue]\ncurrency = "euros"')


def test_schemas_of_events_are_read_and_checked(tmp_path: Path) -> None:
    file = tmp_path / "instanter.toml"
    table = '[[events.schemas]]\nevent = "Product Viewed"\n'
    price = '[events.schemas.fields."properties.price"]\nmin = 0\n'
    file.write_text(f'{table}required = ["properties.product_id"]\n{price}')
    (schema,) = load_checked(file).events.schemas
    assert (schema.required, schema.fields["properties.price"].min) == (("properties.product_id",), 0)
    for wrong, reason in (
        ('required = ["a..b"]', '"a..b" is no path'), ('requird = ["a"]', "requird"), ('on_fault = "drop"', "drop"),
        ("fields = {x = {min = 2, max = 1}}", "above its max"), (table, "twice"),
    ):  # fmt: skip
        file.write_text(table + wrong)
        with pytest.raises(ConfigRejected, match=re.escape(reason)) as caught:
            load_checked(file)
        assert caught.value.file == str(file)


TEXTS = "[" + ", ".join(f'"x{number}"' for number in range(300)) + "]"
RULES = "{" + ", ".join(f'"properties.x{number}" = {{type = "number"}}' for number in range(300)) + "}"


@pytest.mark.parametrize(("text", "setting", "most"), [
    ('[[events.schemas]]\nevent = "E"\n' * (SCHEMAS_MAX + 1), "events.schemas", SCHEMAS_MAX),
    (f'[[events.schemas]]\nevent = "E"\nrequired = {TEXTS}\n', "events.schemas", SCHEMA_FIELDS_MAX),
    (f'[[events.schemas]]\nevent = "E"\nfields = {RULES}\n', "events.schemas", SCHEMA_FIELDS_MAX),
    (f'[[events.schemas]]\nevent = "E"\nfields = {{"properties.x" = {{enum = {TEXTS}}}}}\n', "events.schemas",
     SCHEMA_WORDS_MAX),
    (f"[events]\nitem_from = {TEXTS}\n", "events.item_from", ITEM_PLACES_MAX),
    (FEATURE.format(name="f") + f"takes_back = {TEXTS}\n", "features", NAMES_HEARD_MAX),
])
def test_a_list_longer_than_its_bound_is_refused_with_the_bound(text: str, setting: str, most: int) -> None:
    refused = str(refusal(text))
    assert setting in refused
    assert f"{most}" in refused
