"""Fuzz the targets by coverage, each in a process of its own: python tests/fuzz/fuzz.py --seconds 600 [TARGET ...]

Needs atheris (`make fuzz` installs it). What was new is kept in build/fuzz/TARGET/found from run to run; an input that
is a finding is written to build/fuzz/TARGET, and belongs into tests/fuzz/corpus/TARGET with its fix. `--keep N` takes
up to N of the smallest inputs that reach something new over into the corpus. With `--reliability FILE` the figures go
there for docs/reliability.md.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CORPUS = HERE / "corpus"
BUILD = ROOT / "build" / "fuzz"
NAMES = (
    "event", "batch", "segment", "checkpoint", "configuration", "vault", "cold", "feed", "archive", "statement",
    "token", "holdings", "body", "question", "items", "rewrite", "manifest", "keyfile", "model", "entry",
    "advisories",
)  # fmt: skip
COVERED = (
    "instanter.events.", "instanter.log.", "instanter.ops.config", "instanter.ops.toml_lines",
    "instanter.features.declaration", "instanter.decisions.placement", "instanter.state.checkpoint",
    "instanter.state.catalogue", "instanter.state.columns", "instanter.state.cold_files", "instanter.privacy.vault",
    "instanter.privacy.user_tokens", "instanter.ops.feeds.", "instanter.ops.archives", "instanter.engine.holdings",
    "instanter.api.bodies", "instanter.api.imports", "instanter.api.items", "instanter.decisions.request",
    "instanter.ops.backup.manifest", "instanter.ops.master", "instanter.privacy.erasures", "instanter.privacy.audit",
    "instanter.models.artefact", "instanter.models.bodies",
)  # fmt: skip
"""Modules, by how their names begin, that steer the fuzzer. Not the kernels: those are compiled."""
HANG_S = 20
RSS_MIB_MAX = 8_192
"""Of the process: atheris itself keeps 1.5 KB of each run of the log reader, a million and more in ten minutes."""
MALLOC_MIB_MAX = 2_048
KEPT_BYTES_MAX = 4_096
LONG_S = 600


class Outcome(NamedTuple):
    """What one target came to."""

    name: str
    runs: int
    seconds: float
    coverage: int
    findings: list[Path]
    last_words: str


def fuzz_here(name: str, arguments: list[str]) -> None:
    """Fuzz one target in this process; does not return."""
    import atheris

    with atheris.instrument_imports(include=["instanter", "tomllib"], exclude=not_covered()):
        sys.path.insert(0, str(HERE))
        import targets

    targets.warm()

    def one(chunk: bytes) -> None:
        targets.run(targets.TARGETS[name], chunk)

    again = f"{sys.executable} {HERE / 'fuzz.py'} --here {name}"  # With this the merge calls itself, by a shell.
    atheris.Setup([again, *arguments], one)
    atheris.Fuzz()


def not_covered() -> list[str]:
    """All other modules of ours, by name."""
    source = ROOT / "src"
    names = [".".join(path.relative_to(source).with_suffix("").parts) for path in source.rglob("*.py")]
    return [name.removesuffix(".__init__") for name in names if not name.startswith(COVERED)]


def fuzz(name: str, seconds: int) -> Outcome:
    """Fuzz one target in a process of its own."""
    work = BUILD / name
    found = work / "found"
    found.mkdir(parents=True, exist_ok=True)
    before = set(work.iterdir())
    began_s = perf_counter()
    told = _child(
        name, f"-max_total_time={seconds}", f"-timeout={HANG_S}", f"-rss_limit_mb={RSS_MIB_MAX}",
        f"-malloc_limit_mb={MALLOC_MIB_MAX}",
        f"-artifact_prefix={work}/", "-print_final_stats=1", f"-max_len={_bytes_max(name)}", str(found),
        str(CORPUS / name),
    )  # fmt: skip
    took_s = perf_counter() - began_s
    (work / "output").write_text(told)
    runs = [int(number) for number in re.findall(r"stat::number_of_executed_units: (\d+)|^#(\d+)", told, re.M)
            for number in number if number]  # fmt: skip
    coverage = [int(number) for number in re.findall(r"cov: (\d+)", told)]
    findings = sorted(path for path in set(work.iterdir()) - before if path.name != "output")
    words = told[told.find("=== Uncaught") :] if "=== Uncaught" in told else told[-2_000:]
    return Outcome(name, max(runs, default=0), took_s, max(coverage, default=0), findings, words)


def _bytes_max(name: str) -> int:
    return max(4_096, 2 * max(path.stat().st_size for path in (CORPUS / name).iterdir()))


def _child(name: str, *arguments: str) -> str:
    command = [sys.executable, str(HERE / "fuzz.py"), "--here", name, *arguments]
    done = subprocess.run(command, capture_output=True, check=False, env={**os.environ, "PYTHONHASHSEED": "0"})
    return done.stderr.decode("utf-8", "replace")


def keep(name: str, count: int) -> list[str]:
    """Take over the smallest inputs that reach what the corpus does not; their names."""
    merged = BUILD / name / "merged"
    shutil.rmtree(merged, ignore_errors=True)
    shutil.copytree(CORPUS / name, merged)
    known = {path.name for path in merged.iterdir()}
    _child(name, "-merge=1", f"-timeout={HANG_S}", f"-artifact_prefix={BUILD / name}/", str(merged),
           str(BUILD / name / "found"))  # fmt: skip
    new = sorted((path for path in merged.iterdir() if path.name not in known), key=lambda path: path.stat().st_size)
    taken = [path for path in new if path.stat().st_size <= KEPT_BYTES_MAX][:count]
    for path in taken:
        shutil.copy(path, CORPUS / name / f"found-{path.name[:12]}")
    return [path.name for path in taken]


def report(outcomes: list[Outcome], file: Path) -> None:
    """The figures, in the form of tests/reliability.py."""
    sys.path.insert(0, str(ROOT))
    from tests.reliability import circumstances

    tests = [
        {
            "rows": ["R13"], "test": f"fuzzing {one.name}", "outcome": "failed" if one.findings else "passed",
            "seconds": round(one.seconds, 1), "why": "",
            "figures": {f"{one.name}_runs": one.runs, "findings": len(one.findings), "runs": one.runs},
        }
        for one in outcomes
    ]  # fmt: skip
    form = "long" if all(one.seconds >= LONG_S or one.findings for one in outcomes) else "short"
    told = circumstances() | {
        "at": datetime.now(UTC).isoformat(timespec="seconds"), "form": form,
        "seconds": round(sum(one.seconds for one in outcomes), 1), "tests": tests,
    }  # fmt: skip
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(told, indent=1) + "\n")


def main() -> int:
    if sys.argv[1:2] == ["--here"]:
        fuzz_here(sys.argv[2], sys.argv[3:])
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(NAMES))
    parser.add_argument("--seconds", type=int, default=LONG_S)
    parser.add_argument("--keep", type=int, default=0, metavar="N")
    parser.add_argument("--reliability", type=Path, metavar="FILE")
    asked = parser.parse_args()
    outcomes = []
    for name in asked.targets or NAMES:
        outcomes.append(one := fuzz(name, asked.seconds))
        print(f"{name}: {one.runs:,} runs in {one.seconds:,.0f} s, {one.runs / one.seconds:,.0f}/s, coverage "
              f"{one.coverage:,}, {len(one.findings)} findings", flush=True)  # fmt: skip
        if one.findings or not one.runs:
            print("\n".join(map(str, one.findings)), one.last_words, sep="\n", flush=True)
        if asked.keep:
            print(f"{name}: {len(keep(name, asked.keep))} inputs added to the corpus", flush=True)
    if asked.reliability is not None:
        report(outcomes, asked.reliability)
    return 1 if any(one.findings or not one.runs for one in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
