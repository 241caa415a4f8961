"""What Instanter depends on: a bill of materials, the licences, and the known advisories that concern what is locked.

    python tools/dependencies.py bill sbom.cdx.json           # CycloneDX 1.6, from the locks and what is there
    python tools/dependencies.py page docs/dependencies.md
    python tools/dependencies.py check                        # exit code 1 for a version that an advisory names

Nothing is asked of a network. Advisories stand in tools/advisories.json in the form of OSV, collected by hand up to
the day that it names; what was published since, or was overlooked, is not known here.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).parents[1]
ADVISORIES = ROOT / "tools" / "advisories.json"
LOCKS = (
    ("requirements.lock", "required"), ("requirements-dev.lock", "excluded"), ("requirements-fuzz.lock", "excluded"),
)  # fmt: skip
"""With what CycloneDX calls it: part of what is served, or only of what it is built and tested with."""
PERMISSIVE = (
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT",
    "MIT-0", "MIT-CMU", "MPL-2.0", "PSF-2.0", "Unlicense", "Zlib",
)  # fmt: skip
SPOKEN = {
    "Apache 2.0": "Apache-2.0", "Apache License 2.0": "Apache-2.0", "Apache License, Version 2.0": "Apache-2.0",
    "Apache License (2.0)": "Apache-2.0", "Apache Software License": "Apache-2.0", "Apache 2": "Apache-2.0",
    "BSD": "BSD-3-Clause", "BSD License": "BSD-3-Clause", "BSD 3-Clause": "BSD-3-Clause",
    "BSD-3-Clause License": "BSD-3-Clause", "BSD 2-Clause License": "BSD-2-Clause",
    "BSD-2-Clause License": "BSD-2-Clause",
    "MIT License": "MIT", "The MIT License": "MIT", "ISC License (ISCL)": "ISC",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0", "Python Software Foundation License": "PSF-2.0",
}  # fmt: skip
"""What packages write that do not write SPDX. "BSD" alone is taken for the three clauses, the common form."""
OF_FUZZERS = {"atheris": "Apache-2.0"}
"""Licences of what only `make fuzz` installs, so that the bill is the same with and without it."""

VENDOR = Path("src/instanter/console/static/vendor")
"""Files of others that lie in the package as their makers released them. The README there names them."""
_VENDORED = re.compile(
    r"^\| `([^`]+)` \| `([^`]+)` ([^,|]+), [^|]*\| ([^,|]+), [^|]*\| `([0-9a-f]{64})` \|$", re.MULTILINE
)
_PINNED = re.compile(r"([A-Za-z0-9._-]+)==([^\s\\;]+)")
_OPENING = """\
# Dependencies

What is installed with Instanter, and what it is built and tested with. The locks name each version and its hashes;
`sbom.cdx.json` is the same as a bill of materials (CycloneDX 1.6). This page and the bill are written by `make docs`.
`python tools/dependencies.py check` holds the versions against `tools/advisories.json`: advisories in the form of OSV,
collected by hand up to {as_of}. What was published since, or was overlooked, is not known there: before a release, ask
a service that knows.
"""


_VENDORED_OPENING = f"""
## Lying in the package

Files for browsers, unchanged, in `{VENDOR}`; `check` knows no advisories about them.

| library | version | licence | files |
|---|---|---|---|
"""


class Package(NamedTuple):
    """One locked package."""

    name: str
    version: str
    scope: str
    licence: str


class Vendored(NamedTuple):
    """A library of which files lie in the package."""

    name: str
    version: str
    licence: str
    files: dict[str, str]
    """SHA-256 of each, by its path."""


class Found(NamedTuple):
    """An advisory that names a locked version."""

    advisory: str
    package: Package
    summary: str


def locked(root: Path = ROOT) -> list[Package]:
    """All packages of the locks by name, the runtime's first."""
    packages: dict[str, Package] = {}
    for file, scope in LOCKS:
        for line in (root / file).read_text(encoding="utf-8").splitlines():
            if pinned := _PINNED.match(line):
                name = canonicalize_name(pinned[1])
                licence = OF_FUZZERS.get(name) or licence_of(name, pinned[2])
                packages.setdefault(name, Package(name, pinned[2], scope, licence))
    return sorted(packages.values(), key=lambda one: (one.scope != "required", one.name))


def vendored(root: Path = ROOT) -> list[Vendored]:
    """The libraries whose files lie in the package, by name."""
    libraries: dict[str, Vendored] = {}
    for file, name, version, licence, digest in _VENDORED.findall((root / VENDOR / "README.md").read_text("utf-8")):
        library = libraries.setdefault(name, Vendored(name, version, licence, {}))
        assert (library.version, library.licence) == (version, licence), f"{name} is told in two ways"
        library.files[f"{VENDOR}/{file}"] = digest
    return [libraries[name] for name in sorted(libraries)]


def licence_of(name: str, version: str) -> str:
    """What the installed package says of its licence, as SPDX where that is known; "" where it says nothing.

    Raises `LookupError` where this version is not installed.
    """
    found = metadata.distribution(name)
    if found.version != version:
        raise LookupError(f"{name} {found.version} is installed, and {version} is locked: run make setup")
    told = found.metadata
    expression = told.get("License-Expression") or ""
    classified = [
        line.rpartition(" :: ")[2] for line in told.get_all("Classifier", []) if line.startswith("License :: ")
    ]
    classified = [one for one in classified if one != "OSI Approved"]
    text = (told.get("License") or "").strip()
    spoken = [text] if text in SPOKEN or is_permissive(text) else classified or text.splitlines()[:1]
    return expression or " AND ".join(sorted({SPOKEN.get(one, one) for one in spoken}))


def is_permissive(licence: str) -> bool:
    """Whether a choice among what a licence offers puts no duty on those who use or ship Instanter.

    >>> is_permissive("MIT OR GPL-3.0-only"), is_permissive("MIT AND GPL-3.0-only"), is_permissive("")
    (True, False, False)
    """
    choices = re.sub(r"[()]", "", licence).split(" OR ")
    return any(all(part.strip() in PERMISSIVE for part in choice.split(" AND ")) for choice in choices)


def bill(packages: list[Package], libraries: list[Vendored]) -> dict[str, Any]:
    """The bill of materials. Without a time or a random number in it: the same locks give the same bill."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "instanter", "licenses": _licences("Apache-2.0")}},
        "components": [
            {
                "type": "library",
                "bom-ref": f"pkg:pypi/{one.name}@{one.version}",
                "name": one.name,
                "version": one.version,
                "purl": f"pkg:pypi/{one.name}@{one.version}",
                "scope": one.scope,
                **({"licenses": _licences(one.licence)} if one.licence else {}),
            }
            for one in packages
        ] + [_vendored_in_bill(one) for one in libraries],
    }


def _vendored_in_bill(library: Vendored) -> dict[str, Any]:
    purl = f"pkg:npm/{library.name}@{library.version}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": library.name,
        "version": library.version,
        "purl": purl,
        "scope": "required",
        "licenses": _licences(library.licence),
        "components": [
            {"type": "file", "name": file, "hashes": [{"alg": "SHA-256", "content": digest}]}
            for file, digest in library.files.items()
        ],
    }


def _licences(licence: str) -> list[dict[str, Any]]:
    return [{"expression": licence}] if is_permissive(licence) else [{"license": {"name": licence}}]


def bill_text(packages: list[Package], libraries: list[Vendored]) -> str:
    """The bill as it is kept."""
    return json.dumps(bill(packages, libraries), indent=1) + "\n"


def page(packages: list[Package], libraries: list[Vendored], advisories: Mapping[str, Any]) -> str:
    """The page."""
    parts = [_OPENING.format(as_of=advisories["as_of"])]
    for title, scope in (("Installed with Instanter", "required"), ("To build and test it", "excluded")):
        parts.append(f"\n## {title}\n\n| package | version | licence |\n|---|---|---|\n")
        parts += [f"| `{one.name}` | {one.version} | {one.licence} |\n" for one in packages if one.scope == scope]
    parts.append(_VENDORED_OPENING)
    for one in libraries:
        files = ", ".join(f"`{Path(file).name}`" for file in one.files)
        parts.append(f"| `{one.name}` (npm) | {one.version} | {one.licence} | {files} |\n")
    return "".join(parts)


# Advisories.


class _Package(msgspec.Struct):
    ecosystem: str
    name: str


class _Range(msgspec.Struct):
    type: str
    events: list[dict[str, str]] = []


class _Affected(msgspec.Struct):
    package: _Package
    versions: list[str] = []
    ranges: list[_Range] = []


class _Advisory(msgspec.Struct):
    id: str
    summary: str
    affected: list[_Affected]


class _Advisories(msgspec.Struct):
    as_of: str
    vulnerabilities: list[_Advisory]


def read_advisories(file: Path = ADVISORIES) -> dict[str, Any]:
    """The file of advisories; `ValueError` for one that says something else, or of versions that are none: it would be
    passed over in silence."""
    try:
        read: dict[str, Any] = msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
        for advisory in msgspec.convert(read, _Advisories).vulnerabilities:
            for affected in advisory.affected:
                _check_versions(affected)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, InvalidVersion) as error:
        raise ValueError(f"{file.name} is no file of advisories: {error}") from None
    return read


def _check_versions(affected: _Affected) -> None:
    for version in affected.versions:
        Version(version)
    for one in affected.ranges:
        if one.type == "ECOSYSTEM":
            list(_events(one.events))


def concerned(packages: list[Package], advisories: Mapping[str, Any]) -> list[Found]:
    """The advisories that name a locked version. One that was withdrawn names none."""
    versions = {one.name: one for one in packages}
    found = []
    for advisory in advisories["vulnerabilities"]:
        if advisory.get("withdrawn"):
            continue
        for affected in advisory["affected"]:
            package = affected["package"]
            one = versions.get(canonicalize_name(package["name"]))
            if package["ecosystem"] == "PyPI" and one is not None and is_affected(one.version, affected):
                found.append(Found(advisory["id"], one, advisory["summary"]))
    return found


def is_affected(version: str, affected: Mapping[str, Any]) -> bool:
    """Whether a version is listed by itself or lies in a range.

    >>> ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "1.0"}, {"fixed": "1.10"}]}]
    >>> is_affected("1.9", {"ranges": ranges}), is_affected("1.10", {"ranges": ranges})
    (True, False)
    """
    own = Version(version)
    if any(Version(listed) == own for listed in affected.get("versions", [])):
        return True
    return any(_is_within(own, one["events"]) for one in affected.get("ranges", []) if one["type"] == "ECOSYSTEM")


def _is_within(own: Version, events: list[dict[str, str]]) -> bool:
    """OSV: of the events up to a version, in order, the last one that says something holds."""
    inside = False
    for kind, at in sorted(_events(events), key=lambda event: event[1]):
        if kind == "introduced" and own >= at:
            inside = True
        elif (kind == "fixed" and own >= at) or (kind == "last_affected" and own > at):
            inside = False
    return inside


def _events(events: list[dict[str, str]]) -> Iterator[tuple[str, Version]]:
    for event in events:
        for kind, text in event.items():
            yield kind, Version("0.dev0" if text == "0" else text)


def main(what: str, path: str = "") -> int:
    """Do it; the exit code."""
    try:
        packages, advisories = locked(), read_advisories()
    except ValueError as error:
        print(error)
        return 1
    if what == "check":
        found = concerned(packages, advisories)
        for one in found:
            print(f"{one.package.name} {one.package.version}: {one.advisory}, {one.summary}")
        print(f"{len(packages)} packages, advisories up to {advisories['as_of']}: {len(found)} concern them")
        return 1 if found else 0
    libraries = vendored()
    text = bill_text(packages, libraries) if what == "bill" else page(packages, libraries, advisories)
    Path(path).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
