from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instanter.ops import reference
from instanter.ops.toml_lines import key_lines, line_of

TEXT = '''\
# [not.a.table]
a.b = "x # y" # c
"q.x" = 'a'
many = """
[not]
k = 1 \\""" "" """"
[t . u]
list = [ # c
  1, {x = 2, y.z = [3]},
  "]",
]
[[f]]
n = 1
[f.sub]
q = 1
[[f]]
n = 2
[[f.g]]
z = \'\'\'
'\'\'\'
[[f.g]]
z = 2024-01-01T00:00:00Z
'''


@pytest.mark.parametrize(("path", "line"), [
    (("a", "b"), 2),
    (("q.x",), 3),
    (("many",), 4),
    (("t", "u"), 7),
    (("t", "u", "list"), 8),
    (("t", "u", "list", 0), 9),
    (("t", "u", "list", 1, "y", "z", 0), 9),
    (("t", "u", "list", 2), 10),
    (("f",), 12),
    (("f", 0, "n"), 13),
    (("f", 0, "sub", "q"), 15),
    (("f", 1, "n"), 17),
    (("f", 1, "g", 0, "z"), 19),
    (("f", 1, "g", 1, "z"), 22),
])
def test_a_key_is_found_where_it_stands(path: tuple[str | int, ...], line: int) -> None:
    assert key_lines(TEXT)[path] == line


def test_a_key_that_is_missing_is_sought_in_the_nearest_table() -> None:
    lines = key_lines(TEXT)
    assert line_of(lines, ("f", 1, "missing")) == 16
    assert line_of(lines, ("nowhere",)) == 0


def test_lines_that_end_as_on_windows_count_once() -> None:
    assert key_lines("a = 1\r\n\r\nb = 2\r\n")[("b",)] == 3


def paths(value: object, path: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    """Every key and element of a parsed document."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return ({path} if path else set()).union(*(paths(child, (*path, key)) for key, child in children))


WORDS = st.text(alphabet='ab.#"\'[]{}=,\\ é', min_size=1, max_size=5)
VALUES = st.recursive(
    st.integers(-9, 9) | st.booleans() | WORDS,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6)


@given(st.dictionaries(WORDS, st.dictionaries(WORDS, VALUES, max_size=4), max_size=4))
def test_exactly_the_keys_that_the_parser_finds_are_found(document: dict[str, dict[str, object]]) -> None:
    text = "".join(
        f"[{reference.toml_value(name)}] # c\n"
        + "".join(f"{reference.toml_value(key)} = {reference.toml_value(value)}\n" for key, value in table.items())
        for name, table in document.items())
    assert set(key_lines(text)) == paths(tomllib.loads(text))


@pytest.mark.parametrize("text", [TEXT, reference.template()])
def test_a_whole_file_has_all_its_keys(text: str) -> None:
    assert set(key_lines(text)) == paths(tomllib.loads(text))
