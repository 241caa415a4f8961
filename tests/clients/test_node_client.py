"""npm's `@instanter/client`: built, packed, installed from what was packed, and tested as it was installed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from .between import STATUSES, Between
from .shop import Shop

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "web" / "client"
BUILD = ROOT / "build" / "node-client"
PROGRAM_S_MAX = 300.0
SHORT = "node_modules/typescript/bin/tsc"

CONSUMER = """\
import { Client, type DecisionReply, Refused, userToken } from "@instanter/client";

const client = new Client("http://127.0.0.1:8080", { key: "k", timeoutMs: 1_000 });
const decision: DecisionReply = await client.decide({ placements: ["home.hero", { id: "search", limit: 3 }] });
const ids: string[] = decision.placements["home.hero"]!.items.map((item) => item.id);
const id: string = client.buffer().add({ type: "track", event: ids[0]!, userId: userToken({ userId: "u", secretId: "i",
  secret: "s" }) });
for await (const line of client.exportProfile({ id })) console.log(line["kind"], new Refused(400, "a", "b").details);
// @ts-expect-error A misspelled argument does not compile.
await client.track({ event: "x", userid: "u1" });
// @ts-expect-error An alias needs its former id.
client.buffer().add({ type: "alias", userId: "u1" });
"""
SETTINGS = {"compilerOptions": {
    "target": "ES2022", "module": "NodeNext", "moduleResolution": "NodeNext", "strict": True, "noEmit": True,
    "types": ["node"], "typeRoots": [str(BUILD / "source" / "node_modules" / "@types")],
}, "files": ["consumer.ts"]}  # fmt: skip


def run(*command: str | Path, cwd: Path, **surroundings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False, timeout=PROGRAM_S_MAX,
        stdin=subprocess.DEVNULL, env={**os.environ, **surroundings},
    )  # fmt: skip


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip("node and npm are not installed: apt-get install nodejs npm")
    return found


@pytest.fixture(scope="session")
def source() -> Path:
    """A copy of the package's sources, with what `package-lock.json` names installed beside it."""
    npm, target = tool("npm"), BUILD / "source"
    digest = hashlib.sha256((SOURCE / "package-lock.json").read_bytes()).hexdigest()
    stamp = BUILD / "installed-for-building"
    if not stamp.is_file() or stamp.read_text() != digest:
        shutil.rmtree(BUILD, ignore_errors=True)
        target.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(SOURCE / name, target / name)
        done = run(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=target)
        if done.returncode:
            pytest.skip(f"npm cannot install TypeScript, is its registry in reach? {done.stderr.strip()[-300:]}")
        stamp.write_text(digest)
    for name in ("src", "test", "dist"):
        shutil.rmtree(target / name, ignore_errors=True)
    for name in ("src", "test"):
        shutil.copytree(SOURCE / name, target / name)
    for path in (*SOURCE.glob("*.json"), SOURCE / "README.md", ROOT / "LICENSE"):
        shutil.copyfile(path, target / path.name)
    return target


@pytest.fixture(scope="session")
def packed(source: Path) -> Path:
    """What would be published."""
    built = run(tool("node"), SHORT, "-p", ".", cwd=source)
    assert built.returncode == 0, built.stdout
    for old in BUILD.glob("*.tgz"):
        old.unlink()
    done = run(tool("npm"), "pack", "--ignore-scripts", "--pack-destination", BUILD, cwd=source)
    assert done.returncode == 0, done.stderr
    (tarball,) = BUILD.glob("*.tgz")
    return tarball


@pytest.fixture(scope="session")
def installed(packed: Path, source: Path) -> Path:
    """A program of somebody else, with the package in it, and the package's tests as if they were its own."""
    folder = BUILD / "program"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "package.json").write_text('{"name": "program", "private": true, "type": "module"}')
    done = run(tool("npm"), "install", "--offline", "--no-audit", "--no-fund", packed, cwd=folder)
    assert done.returncode == 0, done.stderr
    shutil.copytree(source / "test", folder / "test")
    shutil.copyfile(source / "vectors.json", folder / "vectors.json")
    return folder


def test_what_would_be_published_is_the_built_package_and_its_licence(packed: Path) -> None:
    with tarfile.open(packed) as tar:
        names = {name.removeprefix("package/") for name in tar.getnames()}
    sources = {path.stem for path in (SOURCE / "src").glob("*.ts")}
    assert names == {"package.json", "README.md", "LICENSE"} | {
        f"dist/{stem}{ending}" for stem in sources for ending in (".js", ".d.ts")}
    declared = json.loads((SOURCE / "package.json").read_text())
    assert "dependencies" not in declared
    assert all(re.fullmatch(r"[\d.]+", version) for version in declared["devDependencies"].values())


@pytest.mark.parametrize("file", ["vectors.test.mjs", "client.test.mjs"])
def test_the_installed_client_does_what_its_tests_say(file: str, installed: Path) -> None:
    done = run(tool("node"), "--test", f"test/{file}", cwd=installed)
    assert done.returncode == 0, done.stdout[-4_000:]
    assert re.search(r"^# pass [1-9]", done.stdout, re.MULTILINE)


def test_a_program_with_types_compiles_and_what_is_misspelled_does_not(installed: Path, source: Path) -> None:
    (installed / "consumer.ts").write_text(CONSUMER)
    (installed / "tsconfig.json").write_text(json.dumps(SETTINGS))
    done = run(tool("node"), source / SHORT, "-p", ".", cwd=installed)
    assert done.returncode == 0, done.stdout


@pytest.mark.faults
def test_the_installed_client_is_served(installed: Path, shop: Shop, between: Between) -> None:
    """Against a server that asks for keys, and with every request refused once."""
    done = run(
        tool("node"), "--test", "test/served.test.mjs", cwd=installed, INSTANTER_URL=shop.url,
        INSTANTER_KEY=shop.admin, INSTANTER_BETWEEN=between.url,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4_000:]
    assert re.search(r"^# skipped 0", done.stdout, re.MULTILINE)
    assert set(between.refused) == set(STATUSES)
    assert shop.views("node-5") == 8
    events = [event for who in ("node-5", "anonymous:node-5-browser") for event in shop.events(who)]
    assert {event["type"] for event in events} == {"identify", "track", "page", "screen", "group", "alias"}


@pytest.mark.faults
@pytest.mark.parametrize("page", ["docs/guides/clients.md", "web/client/README.md"])
def test_the_examples_run(page: str, installed: Path, shop: Shop) -> None:
    blocks = re.findall(r"^```javascript\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    assert blocks
    text = "\n".join(blocks).replace("http://127.0.0.1:8080", shop.url).replace('key: ""', f'key: "{shop.admin}"')
    (installed / "example.mjs").write_text(text)
    done = run(tool("node"), "example.mjs", cwd=installed)
    shop.forget("sku-1", "sku-2")
    assert done.returncode == 0, done.stderr
