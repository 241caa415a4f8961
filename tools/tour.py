"""Run the commands of the tour, and hold what they print against what its page says they print.

    python tools/tour.py docs/tour.md            exit code 1, and a diff, if a reader would see something else
    python tools/tour.py docs/tour.md --write    put what they print now in its place

The tour lies between `<!-- tour -->` and `<!-- /tour -->`: blocks of `bash` and `python`, each followed by a block of
`text` with its output if it has any. All of it runs as one shell in an empty folder, on a free port instead of 8080.
Ids, hashes, positions, times and what was measured differ from run to run and count as equal.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

BEGIN, END = "<!-- tour -->", "<!-- /tour -->"
PORT = "8080"
RUN_S_MAX = 240.0
TRIES = 3
"""A machine that is busy with something else lets a decision miss its 50 ms, and then it says so. Once is enough."""
_SEPARATOR = "\x1e"
_OPENING = "set -eu\ntrap 'kill $(jobs -p) 2>/dev/null || :' EXIT\n"
"""Ends at the first command that fails, and ends what runs in the background."""

_STEP = re.compile(r"```(?P<kind>bash|python)\n(?P<commands>.*?)```\n(?:\n```text\n(?P<output>.*?)```\n)?", re.DOTALL)
_VARYING = (
    (re.compile(r"d_[0-9a-f]{17,}"), "d_*"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*(Z|\+00:00)"), "<time>"),
    (re.compile(r"[0-9a-f]{8,}(?![\w-])"), "<hash>"),
    (re.compile(r'"position": ?"\d+"'), '"position": <varies>'),
    (re.compile(r'"(tookMs|epoch|at|atMs|last_seen)": ?[\d.]+'), r'"\1": <varies>'),
    (re.compile(r"rebuilt [\d,]+ records in \S+ s \([\d,]+ a second\)"), "rebuilt <varies>"),
    (re.compile(r"position \d+"), "position <varies>"),
    (re.compile(r"\d+\.\d{4,}(e-\d+)?"), "<measured>"),
)


class Step(NamedTuple):
    """One block of commands, and what the page says it prints."""

    commands: str
    output: str
    commands_end: int
    """Where its output begins in the text."""
    end: int


class TourFailed(Exception):
    """The commands did not run through."""


def steps(text: str) -> list[Step]:
    """The steps of the tour in the text of its page."""
    first, last = text.index(BEGIN), text.index(END)
    found = []
    for match in _STEP.finditer(text, first, last):
        commands = match["commands"]
        if match["kind"] == "python":
            commands = f"python3 - <<'TOUR'\n{commands}TOUR\n"
        found.append(Step(commands, match["output"] or "", match.start() + match[0].index("```\n", 3) + 4, match.end()))
    return found


def run(commands: list[str]) -> list[str]:
    """What each block of commands prints, run one after the other in one shell."""
    port = str(_free_port())
    script = _OPENING + "".join(f"{block}printf '{_SEPARATOR}'\n" for block in commands)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"}
    with tempfile.TemporaryDirectory(prefix="instanter-tour-") as folder, tempfile.TemporaryFile("w+") as errors:
        shell = subprocess.Popen(
            ["bash", "-c", script.replace(PORT, port)], cwd=folder, env=environment, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            printed, _ = shell.communicate(timeout=RUN_S_MAX)
        except subprocess.TimeoutExpired:
            os.killpg(shell.pid, signal.SIGKILL)
            printed, _ = shell.communicate()
        outputs = printed.replace(port, PORT).split(_SEPARATOR)
        if shell.returncode != 0 or len(outputs) != len(commands) + 1:
            errors.seek(0)
            raise TourFailed(f"step {len(outputs)} of {len(commands)} failed:\n{printed}\n{errors.read()}")
    return [output.strip("\n") + "\n" if output.strip() else "" for output in outputs[:-1]]


def normalised(output: str) -> str:
    """What is left of an output when everything that differs from run to run is taken out.

    >>> normalised('{"id":"oak-chair","position":1},{"position":"2870","tookMs":0.9}')
    '{"id":"oak-chair","position": <varies>},{"position": <varies>,"tookMs": <varies>}'
    """
    for pattern, name in _VARYING:
        output = pattern.sub(name, output)
    return output


def rewritten(text: str, outputs: list[str]) -> str:
    """The page with these outputs, all from one run; as it is, if they are equal to its own but for what varies."""
    written = steps(text)
    if [normalised(step.output) for step in written] == [normalised(output) for output in outputs]:
        return text
    parts, place = [], 0
    for step, output in zip(written, outputs, strict=True):
        shown = f"\n```text\n{output}```\n" if output else ""
        parts += [text[place : step.commands_end], shown]
        place = step.end
    return "".join([*parts, text[place:]])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main() -> int:
    """Check or rewrite one page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("--write", action="store_true", help="put what the commands print into the file")
    arguments = parser.parse_args()
    text = arguments.page.read_text(encoding="utf-8")
    try:
        fresh = text
        for _ in range(TRIES):
            fresh = rewritten(text, run([step.commands for step in steps(text)]))
            if fresh == text:
                break
    except TourFailed as error:
        print(error, file=sys.stderr)
        return 1
    if arguments.write:
        arguments.page.write_text(fresh, encoding="utf-8")
    elif fresh != text:
        print("".join(difflib.unified_diff(
            text.splitlines(keepends=True), fresh.splitlines(keepends=True), "as written", "as it is")))
        print("run `make docs`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
