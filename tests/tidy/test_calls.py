"""House rules that a reader of the code may rely on. Each finding names file, line and what to do instead."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

CLOCK = "take a Clock"
CHANCE = "take a KeyedRng"
IDS = "take an Ids"
STOPWATCH = "use foundation.clock.elapsed_ns"
BOUND = "use asyncio.timeout: before Python 3.12 wait_for loses a cancellation that comes as the wait ends"

BANNED = {
    "time.time": CLOCK, "time.time_ns": CLOCK, "time.localtime": CLOCK, "time.gmtime": CLOCK,
    "datetime.datetime.now": CLOCK, "datetime.datetime.utcnow": CLOCK, "datetime.datetime.today": CLOCK,
    "datetime.date.today": CLOCK,
    "time.perf_counter": STOPWATCH, "time.perf_counter_ns": STOPWATCH, "time.monotonic": STOPWATCH,
    "time.monotonic_ns": STOPWATCH,
    "os.urandom": IDS, "secrets": IDS, "uuid": IDS,
    "random": CHANCE, "numpy.random": CHANCE, "asyncio.wait_for": BOUND,
    "pickle": "use msgspec", "marshal": "use msgspec", "shelve": "use msgspec",
    "joblib": "use msgspec", "dill": "use msgspec", "cloudpickle": "use msgspec",
}
"""A whole module is banned by its name, a function by its full one."""

CATCHES_ALL = ("engine/loop.py", "api/")
PRINTS = ("ops/cli/", "storefront/serving.py")
DOORS = ("foundation/", "client/surroundings.py")
"""Where time and chance come in: for the engine, and for the client, which knows no other room."""


def full_names(tree: ast.Module) -> dict[str, str]:
    """What each imported name stands for: `import numpy as np` makes np numpy."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0])
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def banned(name: str) -> str | None:
    """The advice for a full name of which some beginning is banned."""
    parts = name.split(".")
    beginnings = (".".join(parts[:length]) for length in range(1, len(parts) + 1))
    return next((BANNED[beginning] for beginning in beginnings if beginning in BANNED), None)


def uses(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every outside name that is imported or used, written in full, with its line."""
    names = full_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Attribute):
            first, _, rest = ast.unparse(node).partition(".")
            if first in names:
                yield node.lineno, f"{names[first]}.{rest}"


def banned_uses(tree: ast.Module) -> list[str]:
    return sorted({f"{line}: {advice}, not {name}" for line, name in uses(tree) if (advice := banned(name))})


def catches_all(tree: ast.Module) -> list[int]:
    """Lines that catch whatever comes."""
    lines = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            if any(kind is None or ast.unparse(kind) in ("Exception", "BaseException") for kind in kinds):
                lines.append(node.lineno)
    return lines


def prints(tree: ast.Module) -> list[int]:
    """Lines that print."""
    return [
        node.lineno for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]


def first_taken_out(tree: ast.Module) -> list[int]:
    """Lines that take the first key out of a mapping: a dict looks through all the places that were left before it."""
    taken = [
        place for node in ast.walk(tree) for place in (
            [one.slice for one in node.targets if isinstance(one, ast.Subscript)] if isinstance(node, ast.Delete)
            else node.args[:1] if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            and node.func.attr == "pop" else []
        )
    ]  # fmt: skip
    return [place.lineno for place in taken if ast.unparse(place).startswith("next(iter(")]


def test_time_chance_and_ids_come_in_by_the_door(modules: dict[str, ast.Module]) -> None:
    found = [
        f"{path}:{use}" for path, tree in modules.items() if not path.startswith(DOORS)
        for use in banned_uses(tree)
    ]
    assert not found, "\n".join(found)


def test_only_the_loop_and_the_api_catch_everything(modules: dict[str, ast.Module]) -> None:
    found = [
        f"{path}:{line}: name the exceptions" for path, tree in modules.items() if not path.startswith(CATCHES_ALL)
        for line in catches_all(tree)
    ]
    assert not found, "\n".join(found)


def test_only_commands_print(modules: dict[str, ast.Module]) -> None:
    found = [
        f"{path}:{line}: return it, or log it" for path, tree in modules.items() if not path.startswith(PRINTS)
        for line in prints(tree)
    ]
    assert not found, "\n".join(found)


def test_the_oldest_is_let_go_from_an_ordered_map(modules: dict[str, ast.Module]) -> None:
    found = [
        f"{path}:{line}: OrderedDict.popitem(last=False)" for path, tree in modules.items()
        for line in first_taken_out(tree)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("source", ["del kept[next(iter(kept))]", "self.kept.pop(next(iter(self.kept)), None)"])
def test_the_first_taken_out_is_found_however_it_is_written(source: str) -> None:
    assert first_taken_out(ast.parse(source)) == [1]


def test_no_check_is_switched_off(modules: dict[str, ast.Module], root) -> None:
    waivers = ("# type: " + "ignore", "# no" + "qa", "TO" + "DO", "FIX" + "ME")
    found = [
        f"{path}:{number}: {waiver}" for path in modules
        for number, line in enumerate((root / "src/instanter" / path).read_text().splitlines(), 1)
        for waiver in waivers if waiver in line
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("source", [
    "import time\ntime.time()",
    "import time as clock\nclock.time_ns()",
    "from time import monotonic",
    "import datetime\ndatetime.datetime.now()",
    "from datetime import datetime\ndatetime.now()",
    "from datetime import datetime as when\nread = when.utcnow",
    "import random",
    "from random import choice",
    "import numpy as np\nnp.random.default_rng(1)",
    "from uuid import uuid4",
    "import os\nos.urandom(4)",
    "import pickle",
    "from joblib import load",
])
def test_a_banned_use_is_found_however_it_is_written(source: str) -> None:
    assert banned_uses(ast.parse(source))


@pytest.mark.parametrize("source", [
    "import time\ntime.sleep(1)",
    "from datetime import datetime\ndatetime.fromisoformat('2024-01-01')",
    "def read(clock):\n    return clock.time",
    "from .random import uniform",
])
def test_what_only_looks_banned_is_let_through(source: str) -> None:
    assert not banned_uses(ast.parse(source))


@pytest.mark.parametrize("clause", ["except:", "except Exception:", "except (OSError, BaseException) as error:"])
def test_catching_everything_is_found_however_it_is_written(clause: str) -> None:
    assert catches_all(ast.parse(f"try:\n    pass\n{clause}\n    pass")) == [3]
