"""Pages in Debian's Chromium, driven by Playwright: what all tests of pages share.

A conftest imports the fixtures by name:

    from ..browser import axe_source as axe_source, browser as browser, new_page as new_page

`new_page(theme="dark", width=PHONE)` opens a tab that notes what goes wrong in it; `check_page(page)` fails where the
page said anything to the console, where axe-core finds a serious fault, or where its layout shifted. Where Chromium is
missing the tests skip and say how it is installed; with INSTANTER_CHROMIUM=required they fail.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

HERE = Path(__file__).parent
ROOT = HERE.parent
AXE = HERE / "axe"
BUILD = ROOT / "build" / "axe"
SCREENSHOTS = ROOT / "build" / "screenshots"
DESKTOP, PHONE = 1280, 390
THEMES = ("light", "dark")
WIDTHS = (DESKTOP, PHONE)
LOOKS = (
    [(theme, width) for theme in THEMES for width in WIDTHS] if os.environ.get("INSTANTER_FULL")
    else [(THEMES[0], DESKTOP), (THEMES[1], PHONE)]
)
"""In which themes and widths each page is looked at: in all with INSTANTER_FULL=1."""
HEIGHTS = {DESKTOP: 900, PHONE: 844}
SHIFT_MAX = 0.05
INSTALL_S_MAX = 300
WAIT_MS_MAX = 20_000
_SERIOUS = ("serious", "critical")
_FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server")
_WATCH_SHIFTS = """
window.shifted = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifted += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""
_RUN_AXE = """
async () => (await axe.run(document, {resultTypes: ["violations"]})).violations
  .map(({id, impact, help, nodes}) => ({id, impact, help, nodes: nodes.slice(0, 3).map((node) => node.html)}))
"""

_TOO_WIDE = """
() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width + 1) return [];
  const scrolls = (one) => one && (getComputedStyle(one).overflowX !== "visible" || scrolls(one.offsetParent));
  return [...document.body.querySelectorAll("*")]
    .filter((one) => one.getBoundingClientRect().right > width + 1 && !scrolls(one.offsetParent))
    .map((one) => `${one.tagName} ${one.className} ${Math.round(one.getBoundingClientRect().right)} of ${width}`)
    .slice(0, 5).concat("the page scrolls sideways");
}
"""

NewPage = Callable[..., Page]


def missing(what: str, how: str) -> NoReturn:
    """Skip, or fail where pages have to be tested."""
    told = f"{what} is not here: {how}"
    if os.environ.get("INSTANTER_CHROMIUM") == "required":
        pytest.fail(told)
    pytest.skip(told)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium for the tests of a file: as long as it runs, nothing else can run a loop in this thread."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        missing("Chromium", "apt-get install chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=list(_FLAGS))
        yield running
        running.close()


@pytest.fixture(scope="session")
def axe_source() -> str:
    """axe-core, as `tests/axe/package-lock.json` names it, installed on first use."""
    npm = shutil.which("npm")
    if npm is None:
        missing("npm, which installs axe-core,", "apt-get install nodejs npm")
    digest = hashlib.sha256((AXE / "package-lock.json").read_bytes()).hexdigest()
    stamp = BUILD / "installed"
    if not stamp.is_file() or stamp.read_text() != digest:
        BUILD.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(AXE / name, BUILD / name)
        done = subprocess.run(
            [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=BUILD, capture_output=True, text=True,
            check=False, timeout=INSTALL_S_MAX, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if done.returncode:
            missing("axe-core", f"npm cannot install it, is its registry in reach? {done.stderr.strip()[-300:]}")
        stamp.write_text(digest)
    return (BUILD / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture
def new_page(browser: Browser, axe_source: str) -> Iterator[NewPage]:
    """Opens tabs, each as of a person of its own: `new_page(theme="light", width=DESKTOP, **more)`, where `more` goes
    to Playwright's `new_context`. They are closed with the test."""
    contexts: list[BrowserContext] = []

    def make(*, theme: str = "light", width: int = DESKTOP, **more: Any) -> Page:
        context = browser.new_context(
            color_scheme=theme, viewport={"width": width, "height": HEIGHTS.get(width, 900)}, bypass_csp=False,
            is_mobile=width <= PHONE, has_touch=width <= PHONE, reduced_motion="reduce", **more,
        )  # fmt: skip
        contexts.append(context)
        context.add_init_script(_WATCH_SHIFTS)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS_MAX)
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("requestfailed", lambda request: said.append(f"{request.url}: {request.failure}")
                if "ERR_ABORTED" not in (request.failure or "") else None)  # fmt: skip
        _SAID[page] = said
        return page

    _AXE.clear()
    _AXE.append(axe_source)
    yield make
    for context in contexts:
        context.close()
    _SAID.clear()


_SAID: dict[Page, list[str]] = {}
_AXE: list[str] = []


def said_by(page: Page) -> list[str]:
    """The errors and warnings of a page since it was asked last."""
    said = list(_SAID[page])
    _SAID[page].clear()
    return said


def faults_of(page: Page) -> list[dict[str, Any]]:
    """The serious faults that axe-core finds in what is on the page now."""
    page.evaluate(_AXE[0])
    found: list[dict[str, Any]] = page.evaluate(_RUN_AXE)
    return [one for one in found if one["impact"] in _SERIOUS]


def shifted(page: Page) -> float:
    """How far the layout has shifted since the page was loaded, without what somebody's own input moved."""
    return float(page.evaluate("window.shifted"))


def too_wide(page: Page) -> list[str]:
    """What makes the page as a whole scroll sideways: elements that end beyond it, but for what scrolls by itself."""
    found: list[str] = page.evaluate(_TOO_WIDE)
    return found


def check_page(page: Page) -> None:
    """Nothing was said to the console, no serious fault, no shift of the layout, nothing wider than the screen."""
    said, faults, shift, wide = said_by(page), faults_of(page), shifted(page), too_wide(page)
    assert not said, said
    assert not faults, faults
    assert shift <= SHIFT_MAX, shift
    assert not wide, wide


def keep_screenshot(page: Page, room: str, name: str) -> Path:
    """A picture of the whole page in build/screenshots/<room>/."""
    path = SCREENSHOTS / room / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=path, full_page=True)
    return path
