"""The page of promises: what a row or a promise is called for what its tests reported, and that each has a place."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ..conftest import About
from ..reliability import BROKEN, SHOWN, Rows, flat, promises_of, rows_known, rows_of


@pytest.fixture(scope="module")
def tool(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("reliability_page", root / "tools" / "reliability_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def told(tool: ModuleType, outcomes: list[str], *, form: str = "full", row: str = "R4", at: str = "2025") -> Any:
    tests = tuple(
        tool.Test(
            (row,), f"test_{number}", outcome, why="no strace", figures={"kills": 2, "ready_s_max": number + 0.5},
            promises=("P1", "P4") if outcome == "failed" else (),
        )
        for number, outcome in enumerate(outcomes)
    )
    return tool.Run(at, "abc", "a machine", form, 3.0, tests)


@pytest.mark.parametrize(("outcomes", "form", "state"), [
    ([], "full", "not run"),
    (["passed", "passed"], "full", "passed"),
    (["passed", "passed"], "short", "cut short"),
    (["passed", "failed"], "full", "failed"),
    (["skipped", "failed"], "short", "failed"),
    (["passed", "skipped"], "full", "in part"),
    (["skipped"], "full", "not run"),
])
def test_a_row_is_called_what_became_of_its_tests(
    outcomes: list[str], form: str, state: str, tool: ModuleType
) -> None:
    known = tool.table()
    found = tool.verdicts(known.rows, [told(tool, outcomes, form=form)])
    assert found["R4"].state == state
    for promise in known.rows["R4"].promises:
        text = tool.promise_state(promise, known.rows, found)
        assert text.startswith("**broken**: R4" if state == "failed" else "not shown in this run"), promise
    assert found["R13"].state == "not run"
    assert found["R17"].state == "awaited"


def test_a_promise_is_kept_when_every_row_that_can_be_shown_was(tool: ModuleType) -> None:
    known = tool.table()
    behind = [name for name, row in known.rows.items() if "P4" in row.promises and not row.awaits]
    runs = [told(tool, ["passed"], form="long", row=name) for name in behind]
    for number, run in enumerate(runs):
        (test,) = run.tests
        runs[number] = tool.Run(run.at, "abc", "m", "long", 1.0, (tool.Test(test.rows, f"of {number}", "passed"),))
    assert tool.promise_state("P4", known.rows, tool.verdicts(known.rows, runs)) == "kept"
    one_less = tool.promise_state("P4", known.rows, tool.verdicts(known.rows, runs[1:]))
    assert one_less == f"not shown in this run: {behind[0]} not run"


@pytest.mark.parametrize(("broken", "shown", "states"), [
    (("P4",), ("P1", "P6"), {"P1": "kept; R15 failed in what it says of others", "P4": "**broken**: R15",
                             "P6": "kept; R15 failed in what it says of others", "P2": "kept"}),
    (("P4",), ("P6",), {"P1": "not shown in this run: R15 failed", "P4": "**broken**: R15",
                        "P6": "kept; R15 failed in what it says of others", "P2": "kept"}),
    ((), (), {"P1": "not shown in this run: R15 failed", "P4": "not shown in this run: R15 failed",
              "P6": "not shown in this run: R15 failed", "P2": "kept"}),
])
def test_a_test_that_fails_breaks_what_its_assertion_is_about_and_leaves_unshown_what_comes_behind(
    broken: tuple[str, ...], shown: tuple[str, ...], states: dict[str, str], tool: ModuleType
) -> None:
    known = tool.table()
    late = tool.Test(("R15",), "spike", "failed", promises=broken, shown=shown)
    found = tool.verdicts(known.rows, [tool.Run("2025", "abc", "m", "long", 1.0, (late,))])
    for name in known.rows:
        if name != "R15":
            found[name] = tool.Verdict("passed", "passed")
    assert {promise: tool.promise_state(promise, known.rows, found) for promise in states} == states


def test_what_a_failed_test_is_about_is_reported(about: About, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    with about("P1", "P6"):
        pass
    with pytest.raises(AssertionError), about("P4", "P6"):
        raise AssertionError
    with pytest.raises(ValueError, match="of the harness"), about("P2"):
        raise ValueError("of the harness")
    properties = request.node.user_properties
    assert properties == [(SHOWN, ("P1", "P6")), (BROKEN, ("P4", "P6"))]
    plugin = Rows(tmp_path / "found.json")
    plugin._rows["spike"] = ["R15"]
    for noted in (properties, []):
        plugin.pytest_runtest_logreport(
            pytest.TestReport("spike", ("", 0, ""), {}, "failed", None, "call", user_properties=noted)
        )
        plugin.pytest_sessionfinish()
        (told,) = json.loads((tmp_path / "found.json").read_text())["tests"]
        assert (told["outcome"], told["promises"], told["shown"]) == ("failed", ["P4", "P6"], ["P1"])
        assert told["figures"] == {}
    properties.clear()


PROGRAM = """
import pytest

def test_r4_in_time(about):
    with about("P1"):
        pass
    with about("P4"):
        assert False, "late"

@pytest.mark.about("P1")
def test_r4_marked():
    assert False, "lost"

def test_r4_harness(about):
    with about("P1"):
        raise ValueError("no such file")

def test_r4_given_up():
    pytest.fail("not answered")
"""


def test_an_assertion_breaks_its_own_promises_and_whatever_else_ends_a_test_breaks_none(
    root: Path, tmp_path: Path
) -> None:
    (tmp_path / "test_r4_planted.py").write_text(f"{PROGRAM}\npytestmark = pytest.mark.about('P4')\n")
    report = tmp_path / "found.json"
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.conftest",
         "--rootdir", root, "-c", root / "pyproject.toml", "--reliability", report, tmp_path],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 1, run.stdout + run.stderr
    told = {one["test"].rpartition("::")[2]: one for one in json.loads(report.read_text())["tests"]}
    assert {name: (one["promises"], one["shown"]) for name, one in told.items() if name.startswith("test_")} == {
        "test_r4_in_time": (["P4"], ["P1"]), "test_r4_marked": (["P1"], []), "test_r4_harness": ([], []),
        "test_r4_given_up": (["P4"], []),
    }  # fmt: skip


def test_a_test_of_a_row_with_several_promises_says_which_it_is_about() -> None:
    path = Path("tests/faults/test_r4_x.py")
    assert promises_of(path, ["R14"], None) == ("P4",)
    assert promises_of(path, [], None) == ()
    assert promises_of(path, ["R4"], pytest.mark.about("P1").mark) == ("P1",)
    assert promises_of(path, ["R4"], pytest.mark.about().mark) == ()
    with pytest.raises(pytest.UsageError, match="which promises of R4 is this about"):
        promises_of(path, ["R4", "R14"], None)
    with pytest.raises(pytest.UsageError, match="the promise P8"):
        promises_of(path, ["R4"], pytest.mark.about("P1", "P8").mark)


def test_each_promise_of_a_row_has_assertions_that_show_it(root: Path) -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in (root / "tests").rglob("test_*.py")}
    unnamed = []
    for name, row in rows_known().items():
        promises = row.get("promises", [])
        if "awaits" in row or "run" in row or len(promises) < 2:
            continue
        its = "\n".join(
            text for path, text in texts.items() if name in rows_of(path, []) or f'mark.row("{name}"' in text
        )
        named = set(re.findall(r'"(P\d+)"', "".join(re.findall(r"\babout\((.*?)\)", its))))
        named |= {"P1", "P2"} if "assert_even(about" in its else set()
        unnamed += [(name, promise) for promise in promises if promise not in named]
    assert unnamed == []


def test_what_needs_the_long_form_is_not_shown_by_the_full_one(tool: ModuleType) -> None:
    found = tool.verdicts(tool.table().rows, [told(tool, ["passed"], row="R31")])
    assert found["R31"].state == "cut short"


def test_of_a_test_that_ran_twice_the_newest_report_counts(tool: ModuleType) -> None:
    runs = [told(tool, ["failed"], at="2025-02-01"), told(tool, ["passed"], at="2025-02-02")]
    for order in (runs, runs[::-1]):
        assert tool.verdicts(tool.table().rows, order)["R4"].state == "passed"


def test_whole_numbers_are_added_up_and_extremes_are_extremes(tool: ModuleType) -> None:
    found = tool.verdicts(tool.table().rows, [told(tool, ["passed", "passed", "skipped"])])
    assert found["R4"].figures == "kills 4, ready_s_max 1.5"


def test_the_page_has_every_row_and_every_promise_and_the_runs_it_stands_on(tool: ModuleType) -> None:
    known = tool.table()
    page = tool.page(known, [told(tool, ["passed"])])
    assert [name for name in known.rows if f"\n| {name} " not in page] == []
    assert [name for name in known.promises if f"\n| {name} | " not in page] == []
    assert "| 2025 | abc | full | 3 s | a machine |" in page


def test_every_row_says_what_is_done_or_what_it_awaits(tool: ModuleType) -> None:
    known = tool.table()
    for name, row in known.rows.items():
        assert bool(row.done and row.passes) is not bool(row.awaits), name
        assert set(row.promises) <= set(known.promises), name


def test_a_test_finds_its_row_by_its_file_or_its_mark() -> None:
    mark = pytest.mark.row("R2", "R3").mark
    assert rows_of(Path("tests/faults/test_r14_slow.py"), []) == ["R14"]
    assert rows_of(Path("tests/log/test_x.py"), [mark]) == ["R2", "R3"]
    assert rows_of(Path("tests/faults/test_s2_x.py"), [mark]) == ["S2", "R2", "R3"]
    assert rows_of(Path("tests/log/test_rest.py"), []) == []
    with pytest.raises(pytest.UsageError, match="no row R99"):
        rows_of(Path("tests/faults/test_r99_x.py"), [])


def test_every_row_that_awaits_nothing_has_a_test(root: Path) -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in (root / "tests").rglob("test_*.py"))
    files = {path.name.split("_")[1].upper() for path in (root / "tests").rglob("test_*.py")}
    without = [
        name for name, row in rows_known().items()
        if "awaits" not in row and name not in files and f'mark.row("{name}"' not in text
    ]
    assert without == []


def test_whatever_a_test_notes_can_be_told() -> None:
    noted = {"answers": {200: 3, 429: {"p99": 1.5}}, "share": float("nan"), "even": True, "kills": 2}
    assert [pair for name, value in noted.items() for pair in flat(name, value)] == [
        ("answers 200", 3), ("answers 429 p99", 1.5), ("share", "nan"), ("even", "True"), ("kills", 2)
    ]  # fmt: skip
