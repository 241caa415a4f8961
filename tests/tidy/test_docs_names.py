"""Docs that leave nothing out: whatever has a name is found where a reader looks for it."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest

from instanter.api.openapi import OPERATIONS
from instanter.decisions import eligibility, fallback
from instanter.decisions.placement import Source
from instanter.decisions.receipt import Receipt
from instanter.events.envelope import Record
from instanter.events.kinds import KNOWN, TYPES
from instanter.features.declaration import Aggregate, Scope
from instanter.foundation.disk import RealDisk
from instanter.models.sources import SOURCES
from instanter.ops.cli.main import VERBS
from instanter.ops.datadir import MIGRATING, UNFINISHED, DataDirectory
from instanter.privacy.roles import ROLES
from instanter.privacy.subjects import DAYS, SUBJECTS
from instanter.privacy.user_tokens import FILE as SIGNING
from instanter.state.memory import VERDICTS

ARCHITECTURE, CONNECTING = "docs/ARCHITECTURE.md", "docs/guides/connecting.md"
OPERATING, GLOSSARY = "docs/guides/operating.md", "docs/glossary.md"
EXCLUSIONS = (
    eligibility.OUT_OF_STOCK, eligibility.JUST_BOUGHT, eligibility.NOT_IN_CATALOGUE, eligibility.DELETED,
    eligibility.SHOWN_ELSEWHERE, eligibility.PAGE_ITEM, eligibility.DUPLICATE, eligibility.OVER_LIMIT,
)
RUNGS = (fallback.PERSONAL, fallback.SESSION, fallback.POPULAR, fallback.DEFAULT)
TERM = re.compile(r"^- \*\*(.+?)\*\*: ", re.MULTILINE)


def page(root: Path, name: str) -> str:
    return (root / name).read_text(encoding="utf-8")


def unnamed(names: Iterator[str] | tuple[str, ...] | list[str], text: str) -> list[str]:
    """Those of the names that do not stand in the text as code."""
    return [name for name in names if f"`{name}`" not in text]


def routes(tree: ast.Module) -> set[str]:
    """The paths in the module that lists the routes; a part like `{id:path}` is `{id}`, `{kind}` each kind of event."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            text = ast.unparse(node)[2:-1]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        else:
            continue
        if re.fullmatch(r"/[\w/{}:.]+", text):
            path = re.sub(r"\{(\w+):path\}", r"{\1}", text)
            found |= {path.replace("{kind}", kind) for kind in TYPES}
    return found - {"/v1/"}


def protocols(modules: dict[str, ast.Module]) -> list[str]:
    """Every seam: the classes that are a `Protocol`."""
    return [
        node.name for tree in modules.values() for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base).startswith("Protocol") for base in node.bases)
    ]


def tool(root: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, root / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_route_is_in_the_guide_with_its_method(root: Path, modules: dict[str, ast.Module]) -> None:
    guide = page(root, CONNECTING)
    served = routes(modules["api/app.py"])
    assert {"/v1/batch", "/v1/track", "/v1/items/{id}", "/healthz"} <= served
    assert unnamed([f"{one.method.upper()} {one.path}" for one in OPERATIONS], guide) == []
    assert [path for path in served if f"{path}`" not in guide] == []


def test_every_event_name_and_type_is_in_the_guide(root: Path) -> None:
    text = page(root, CONNECTING)
    assert [name for name in KNOWN if f"| {name} |" not in page(root, "docs/events.md")] == []
    assert [kind for kind in TYPES if f"/v1/{kind}`" not in text] == []


def test_every_reason_for_which_a_candidate_is_left_out_is_in_the_guide(root: Path) -> None:
    assert unnamed(EXCLUSIONS, page(root, CONNECTING)) == []


def test_every_verb_is_in_the_guide(root: Path) -> None:
    text = page(root, OPERATING)
    assert [verb.name for verb in VERBS if f"`instanter {verb.name}" not in text] == []


def test_every_record_of_the_log_is_in_the_architecture(root: Path) -> None:
    assert unnamed([kind.__name__ for kind in get_args(Record)], page(root, ARCHITECTURE)) == []


def test_every_aggregation_and_source_is_in_the_architecture(root: Path) -> None:
    text = page(root, ARCHITECTURE)
    assert unnamed([*get_args(Aggregate), *SOURCES, *get_args(Source)], text) == []


def test_every_rung_and_verdict_is_in_the_architecture(root: Path) -> None:
    assert unnamed([*RUNGS, *VERDICTS.values()], page(root, ARCHITECTURE)) == []


def test_every_stage_of_a_decision_is_in_the_architecture(root: Path) -> None:
    text = page(root, ARCHITECTURE)
    assert [stage for stage in fallback.STAGES if f"**{stage.title()}.**" not in text] == []


def test_every_room_has_its_row_and_names_its_files_and_no_others(root: Path) -> None:
    package = root / "src" / "instanter"
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", page(root, ARCHITECTURE), re.MULTILINE))
    rooms = {path.name for path in package.iterdir() if (path / "__init__.py").is_file()}
    assert rooms <= rows.keys()
    named = {f"{room}/{name}" for room in rooms for name in re.findall(r"`(\w+)/?`", rows[room])}
    there = {
        f"{room}/{path.stem}" for room in rooms for path in (package / room).iterdir()
        if path.suffix == ".py" or (path / "__init__.py").is_file()
    }  # fmt: skip
    assert named ^ there == {f"{room}/__init__" for room in rooms}


def test_everything_in_a_data_directory_is_in_the_guide(root: Path) -> None:
    there = DataDirectory(RealDisk(), Path("/d"))
    paths = [one for one in {**vars(there), "marker": there.marker, "secret": there.keys / "installation.key"}.values()
             if isinstance(one, Path) and one != there.root]
    paths += [there.keys / name for name in (SUBJECTS, DAYS, SIGNING)]
    paths += [there.root / name for name in (UNFINISHED, MIGRATING)]
    rows = set(re.findall(r"`([\w./]+)`", page(root, OPERATING).partition("## The data directory")[2]))
    names = [str(one.relative_to("/d")) for one in paths]
    assert [name for name in names if name not in rows and f"{name}/" not in rows] == []


def errors_drawn(text: str) -> dict[str, str]:
    """By the name of an error in a drawn tree, the one that it hangs on."""
    above: list[str] = []
    drawn: dict[str, str] = {}
    for line in text.splitlines():
        match = re.match(r"^([│ ]*(?:[├└]── )?)([A-Z]\w+)(?: {2,}|$)", line)
        if match:
            depth = len(match[1]) // 4
            above = [*above[:depth], match[2]]
            drawn[match[2]] = above[depth - 1] if depth else ""
    return drawn


def test_the_tree_of_errors_is_drawn_as_it_is(modules: dict[str, ast.Module]) -> None:
    tree = modules["foundation/errors.py"]
    there = {node.name: ast.unparse(node.bases[0]) for node in tree.body if isinstance(node, ast.ClassDef)}
    assert errors_drawn(ast.get_docstring(tree) or "") == there | {"InstanterError": ""}


def test_every_seam_is_in_the_architecture(root: Path, modules: dict[str, ast.Module]) -> None:
    seams = protocols(modules)
    assert {"Log", "Disk", "Clock", "Ranker"} <= set(seams)
    assert unnamed(seams, page(root, ARCHITECTURE)) == []


def test_every_file_that_the_docs_name_is_there(root: Path) -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in sorted((root / "docs").rglob("*.md")))
    named = set(re.findall(r"`((?:foundation|events|log|state|identity|features|models|decisions|engine|api|ops|sim)/"
                           r"[\w/]+\.py)`", text))
    assert named
    assert [name for name in sorted(named) if not (root / "src" / "instanter" / name).is_file()] == []


def test_the_page_of_bounds_is_what_the_code_says(root: Path) -> None:
    assert page(root, "docs/limits.md") == tool(root, "limits_page").page(), "run `make docs`"


def test_the_page_of_event_names_is_what_the_code_says(root: Path) -> None:
    assert page(root, "docs/events.md") == tool(root, "events_page").page(), "run `make docs`"


def test_the_page_of_roles_and_routes_is_what_the_code_says(root: Path) -> None:
    assert page(root, "docs/access.md") == tool(root, "access_page").page(), "run `make docs`"


def test_every_role_is_in_the_guide_and_in_the_glossary(root: Path) -> None:
    assert unnamed([*ROLES], page(root, "docs/guides/keys.md")) == []
    entry = page(root, GLOSSARY).partition("- **role**: ")[2].partition("\n- **")[0]
    assert [role for role in ROLES if role not in entry] == []


def test_the_glossary_is_in_order_and_says_each_word_once(root: Path) -> None:
    terms = [term.casefold() for term in TERM.findall(page(root, GLOSSARY))]
    assert terms == sorted(set(terms))
    assert len(terms) > 100


@pytest.mark.parametrize("names", [
    [*RUNGS[:3]],
    [*get_args(Scope)],
    ["receipt", "epoch", "tick", "checkpoint", "position", "partition", "frame", "group", "propensity", "cell"],
])
def test_the_glossary_has_the_words_of_the_api_and_the_log(names: list[str], root: Path) -> None:
    terms = TERM.findall(page(root, GLOSSARY))
    assert [name for name in names if name not in terms] == []


def test_every_decision_page_is_listed_and_has_its_parts(root: Path) -> None:
    folder = root / "docs" / "decisions"
    index = page(root, "docs/decisions/README.md")
    pages = sorted(path for path in folder.glob("*.md") if path.name != "README.md")
    assert [path.name for path in pages if f"({path.name})" not in index] == []
    for number, path in enumerate(pages, start=1):
        text = path.read_text(encoding="utf-8")
        assert text.startswith(f"# {number:04d}. "), path.name
        parts = re.findall(r"^## (.+)$", text, re.MULTILINE)
        assert parts[:3] == ["Context", "Decision", "Consequences"], path.name


def test_a_name_that_is_missing_is_found() -> None:
    assert unnamed(["count", "mean"], "`count` and means") == ["mean"]


def test_a_receipt_holds_what_the_architecture_says_it_stands_on() -> None:
    assert {"position", "epoch", "epoch_hash", "inputs_hash", "config_hash"} <= set(Receipt.__struct_fields__)
