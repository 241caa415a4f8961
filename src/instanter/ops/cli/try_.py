"""`instanter try`: a shop's own files, looked at, tried on the engine, measured, and served."""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console
from rich.text import Text

from ...events.kinds import KNOWN, canonical_name
from ...foundation.clock import SystemClock, elapsed_ns
from ...foundation.errors import RequestRejected
from ..in_process import quiet
from ..second_core import second_core
from ..trying import folder as folders
from ..trying.catalogue import Items, titled
from ..trying.columns import ROLES, said_roles
from ..trying.figures import STEPS_LEAST, STEPS_MAX, Difference, Figures, K, Side
from ..trying.history import Taken, unknown_share
from ..trying.page import Page, Standing
from ..trying.preparing import Prepared, Said, prepared, taken_history
from ..trying.running import Imported, Told, first_history, imported
from .arguments import port, positive

_SHOWN: Final = 8
_MUCH_LEFT: Final = 0.3
"""Where more of a click log is left out, the one kind that most of it is of is likely to mean something."""
_COLUMNS_SHOWN: Final = 14
_DAY_MS: Final = 86_400_000
_YES: Final = ("", "y", "yes", "j", "ja")
_NO: Final = ("n", "no", "nein", "q", "quit")


class TryReport(msgspec.Struct):
    """What `instanter try` understood and did; the last line with `--json`."""

    folder: str
    items: int
    items_read_as: str = ""
    clicks_read_as: str = ""
    columns: dict[str, str] = {}
    """Role -> column."""
    reasons: dict[str, str] = {}
    """Role -> why that column."""
    not_used: dict[str, str] = {}
    """Column -> why not."""
    rows: int = 0
    acts: int = 0
    people: int = 0
    kinds: dict[str, str] = {}
    """Kind of event in the file -> what it was taken for."""
    kinds_left: dict[str, int] = {}
    unknown_items_share: float = 0.0
    """Of the acts, how many name an item that the catalogue does not have."""
    unknown_items: list[str] = []
    sold_out: int = 0
    """Items of acts that the catalogue says are sold out now: nobody shows them, and nobody is asked for them."""
    remarks: list[str] = []
    events: int = 0
    events_rejected: int = 0
    first_rejection: str = ""
    moved_ms: int = 0
    figures: Figures | None = None
    commands: list[str] = []
    seconds: dict[str, float] = {}
    """What took how long; `first_page`, over the newest acts alone, and `page` since the command."""
    url: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `instanter try`."""
    parser.description = (
        "Try the engine on your own shop: a file of items, a click log, or both, of any usual kind (CSV, TSV, JSON,\n"
        "Parquet, product feeds, exports of Google Analytics 4 and Snowplow). What stands where is guessed from names\n"
        "and values and shown with the reasons; press Enter to go on, or say otherwise. Then the history goes in as\n"
        "it happened, and before some of its last acts the engine says what it would show: how often the next item is\n"
        f"among {K}, against what is popular. A folder with the configuration and the mapped files is left, and the\n"
        "page of a shop with your products stands at the address that is printed (not with --exit).")
    parser.epilog = (
        "examples:\n  instanter try feed.csv clicks.jsonl\n  instanter try events.csv.gz --exit\n"
        "  instanter try feed.csv clicks.csv --yes --map item=sku --map visitor=client --event 'klick=Product Clicked'")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="items, clicks, or both")
    parser.add_argument("--map", action="append", default=[], metavar="ROLE=COLUMN",
                        help=f"what a column is; roles of clicks: {', '.join(ROLES)}; fields of items: id, title, ...")
    parser.add_argument("--event", action="append", default=[], metavar="KIND=NAME",
                        help="what a kind of event means, such as klick='Product Clicked'")
    parser.add_argument("--yes", action="store_true", help="take the guess without asking")
    parser.add_argument("--exit", action="store_true", help="end with the figures instead of serving")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write (default: ./instanter-try)")
    parser.add_argument("--steps", type=positive, default=STEPS_MAX, metavar="N",
                        help="acts that are asked about, at most (default: %(default)s)")
    parser.add_argument("--port", type=port, default=0, metavar="N", help="port of the page (default: a free one)")


def run(arguments: argparse.Namespace) -> int:
    """Look, ask, import, measure, write, serve."""
    if len(arguments.files) > 2:
        raise RequestRejected("nothing", "name a file of items, a file of clicks, or both, and no more")
    began_ns = elapsed_ns()
    with second_core(folders.USUAL_CONFIG):  # From here on: reading takes one core, and kernels take the other.
        return _tried(arguments, began_ns)


def _tried(arguments: argparse.Namespace, began_ns: int) -> int:
    clock, out = SystemClock(), Console(stderr=arguments.json, highlight=False)
    quiet()
    seconds: dict[str, float] = {}
    with _timed(seconds, "look"):
        said, ready = _understood(arguments, out)
    folder = folders.made_folder(arguments.out)
    now_ms = clock.now_ms()
    taken: Taken | None = None
    items, notes = ready.items, list[str]()
    if ready.clicks_path is not None:
        with _timed(seconds, "read"):
            taken, items, notes = taken_history(ready, said, now_ms=now_ms)
    report = _report(folder, ready, taken, items, notes)
    _show_taken(out, report, taken)
    source = " and ".join(path.name for path in arguments.files)
    _write(folder, source, taken, items)
    history = taken.history if taken else None
    with tempfile.TemporaryDirectory(prefix="instanter-try-") as place, _standing(arguments, folder) as standing:
        data = Path(place)
        with folders.events_written(folder, history), _progress(out, quiet=arguments.json) as told:
            if not arguments.exit and (newest := first_history(history)) is not None:
                imported(folder / folders.CONFIG, data / "first", items, newest, now_ms=now_ms, steps_max=0, told=told)
                _show_first(out, standing.show(data / "first"), seconds, began_ns, len(newest), report.acts)
            with _timed(seconds, "import"):
                done = imported(folder / folders.CONFIG, data / "data", items, history, now_ms=now_ms,
                                steps_max=arguments.steps, told=told)  # fmt: skip
        _add(report, done, seconds)
        _show_done(out, report, done)
        if not arguments.exit:
            _serve(arguments, out, report, standing.show(data / "data"), began_ns)
    if arguments.exit and arguments.json:
        print(msgspec.json.encode(report).decode())
    return 0


def _standing(arguments: argparse.Namespace, folder: Path) -> Standing:
    name = arguments.files[0].name.partition(".")[0].replace("_", " ").replace("-", " ").capitalize()
    return Standing(config=folder / folders.CONFIG, shelf=folder / folders.ITEMS, name=name or "Your shop",
                    port=arguments.port)  # fmt: skip


def _show_first(out: Console, page: Page, seconds: dict[str, float], began_ns: int, acts: int, of: int) -> None:
    """Say that there is a page, and what it does not know yet."""
    seconds["first_page"] = round((elapsed_ns() - began_ns) / 1e9, 2)
    _say(out, f"\nYour products, in a shop that adapts: {page.url} ({seconds['first_page']:.1f} s since the command)\n"
              f"It knows the newest {acts:,} of {of:,} acts. All of them and the figures are on their way: then\n"
              "the page begins anew at the same address, without what is clicked there until then.")


def _serve(arguments: argparse.Namespace, out: Console, report: TryReport, page: Page, began_ns: int) -> None:
    """Let the page stand until somebody ends it."""
    report.url, report.seconds["page"] = page.url, round((elapsed_ns() - began_ns) / 1e9, 2)
    knows = ", which knows all acts now" if "first_page" in report.seconds else ""
    _say(out, f"\nYour products, in a shop that adapts{knows}: {page.url}\n({report.seconds['page']:.1f} s since the "
              f"command; the engine is at {page.engine.url}, its console at {page.engine.url}/console)")
    _say(out, "It stays up until Ctrl-C, which removes its data.", style="dim")
    if arguments.json:
        print(msgspec.json.encode(report).decode(), flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        page.engine.process.wait()


@contextlib.contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    began_ns = elapsed_ns()
    yield
    seconds[name] = round((elapsed_ns() - began_ns) / 1e9, 2)


@contextlib.contextmanager
def _progress(out: Console, *, quiet: bool) -> Iterator[Told]:
    shows = out.is_terminal and not quiet

    def told(what: str, done: int, of: int) -> None:
        if shows:
            out.print(f"  {what}: {done:,} of {of:,}", end="\r")

    yield told
    if shows:
        out.print(" " * 60, end="\r")


# Asking.


def _understood(arguments: argparse.Namespace, out: Console) -> tuple[Said, Prepared]:
    """What the files are; asked on a terminal until it is right."""
    columns, kinds = said_roles(arguments.map), _kinds_said(arguments.event)
    asks = not arguments.yes and not arguments.json and sys.stdin.isatty() and sys.stdout.isatty()
    while True:
        said = Said(columns, kinds)
        ready = prepared(arguments.files, said)
        _show_guess(out, ready)
        if not asks:
            return said, ready
        answer = _answer(out)
        if answer in _YES:
            return said, ready
        if answer in _NO:
            raise RequestRejected("stopped", "nothing was done: say what the columns are with --map ROLE=COLUMN")
        with contextlib.suppress(RequestRejected):
            columns = {**columns, **said_roles([answer])}


def _answer(out: Console) -> str:
    out.print("\nIs that right? Enter goes on, ROLE=COLUMN says otherwise, n stops: ", end="")
    try:
        return input().strip()
    except EOFError:
        return "n"


def _kinds_said(pairs: list[str]) -> dict[str, str]:
    kinds = {}
    for pair in pairs:
        kind, equals, name = pair.partition("=")
        if not (kind and equals and name):
            raise RequestRejected("map", f"--event takes KIND=NAME, such as klick='Product Clicked', not {pair!r}")
        kinds[kind] = name.strip()
    return kinds


# Saying.


def _say(out: Console, text: str, *, style: str = "") -> None:
    """Plain text: what comes out of a file is never read as markup."""
    plain = "".join(one if one.isprintable() or one == "\n" else "\ufffd" for one in text)
    out.print(Text(plain, style=style), soft_wrap=True)


def _show_guess(out: Console, ready: Prepared) -> None:
    if ready.items_path is not None:
        _say(out, f"{ready.items_path.name}: {len(ready.items):,} items, read as {ready.items_kind}", style="bold")
        fields = dict.fromkeys(name for fields in list(ready.items.values())[:200] for name in fields)
        if ready.items_guess is not None:
            _say(out, f"  {'id':10} {ready.items_guess.column}: {ready.items_guess.reason}")
        _say(out, f"  {'fields':10} {_listed(list(fields))}")
    if ready.clicks_path is not None:
        _say(out, f"{ready.clicks_path.name}: what people did, read as {ready.clicks_format}", style="bold")
        for one in ready.guesses.taken:
            _say(out, f"  {one.role:10} {one.column}: {one.reason}")
        for column, field in ready.described.items():
            _say(out, f"  {'items':10} {column}: says the {field} of the item, the same wherever it comes again")
        if ready.guesses.left:
            _say(out, f"  {'not used':10} {_listed(list(ready.guesses.left))}", style="dim")
    for note in ready.notes:
        _say(out, f"  {note}", style="dim")


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _COLUMNS_SHOWN} more" if len(names) > _COLUMNS_SHOWN else ""
    return f"{', '.join(names[:_COLUMNS_SHOWN])}{more}"


def _report(folder: Path, ready: Prepared, taken: Taken | None, items: Items, notes: list[str]) -> TryReport:
    """What is known before anything goes in."""
    report = TryReport(
        str(folder), len(items), ready.items_kind, ready.clicks_format,
        {one.role: one.column for one in ready.guesses.taken}, {one.role: one.reason for one in ready.guesses.taken},
        ready.guesses.left, remarks=notes,
    )  # fmt: skip
    if ready.catalogue is not None:
        report.remarks += [*ready.catalogue.notes, *ready.catalogue.remarks.sentences()]
    if (without := titled(items)) and items:
        report.remarks.append(f"{without:,} items have no title: one was made of their brand, category and id")
    if taken is not None:
        history = taken.history
        report.rows, report.acts, report.people = taken.rows, len(history), len(history.person_names)
        report.kinds, report.kinds_left = taken.kinds_taken, taken.kinds_left
        report.remarks += [*taken.notes, *taken.remarks.sentences()]
        if ready.catalogue is not None:
            report.unknown_items_share, report.unknown_items = unknown_share(history, items.keys())
    report.commands = list(folders.commands(folder, has_events=taken is not None))
    return report


def _show_taken(out: Console, report: TryReport, taken: Taken | None) -> None:
    if taken is not None:
        history = taken.history
        _say(out, f"\n{report.acts:,} acts of {report.people:,} people with {len(history.item_names):,} items, "
                  f"{_day(int(history.at_ms[0]))} to {_day(int(history.at_ms[-1]))}, of {report.rows:,} rows")
        if report.kinds:
            _say(out, "  kinds: " + ", ".join(f"{kind} as {meant}" for kind, meant in
                                              list(report.kinds.items())[:_SHOWN]))
        if report.kinds_left:
            left = ", ".join(f"{kind or 'none'} {count:,}" for kind, count in list(report.kinds_left.items())[:_SHOWN])
            _say(out, f"  left out, by kind: {left} (--event 'KIND=NAME' takes one, KIND as it is called here)")
            lost = sum(report.kinds_left.values()) / max(report.rows, 1)
            if lost > _MUCH_LEFT:
                most = next(iter(report.kinds_left)) or "none"
                _say(out, f"  {lost:.0%} of the rows say nothing so: if {most!r} is that somebody looked at a product, "
                          f"say --event '{most}=Product Viewed'")
        if report.unknown_items_share:
            _say(out, f"  {report.unknown_items_share:.1%} of the acts name a product that the catalogue does not have "
                      f"(such as {', '.join(report.unknown_items)}): they count for people and are never shown")
    for remark in report.remarks[:_SHOWN]:
        _say(out, f"  {remark}")
    if len(report.remarks) > _SHOWN:
        _say(out, f"  and {len(report.remarks) - _SHOWN} more remarks, in {folders.GUESS}")


def _write(folder: Path, source: str, taken: Taken | None, items: Items) -> None:
    own = {kind: meant for kind, meant in (taken.kinds_taken if taken else {}).items()
           if kind and canonical_name(kind) not in KNOWN}
    only_new = taken is not None and taken.history.share_of_own_repeats() < 0.01
    text = folders.configuration(source=source, kinds=own, only_new=only_new, limit=K)
    (folder / folders.CONFIG).write_text(text, encoding="utf-8")
    folders.write_items(folder, items)


def _add(report: TryReport, done: Imported, seconds: Mapping[str, float]) -> None:
    report.items = done.items
    report.remarks += [f"items: {sentence}" for sentence in done.remarks.sentences()]
    report.moved_ms, report.seconds = done.moved_ms, dict(seconds)
    if done.fed is not None:
        report.events, report.events_rejected = done.fed.sent, done.fed.rejected
        report.first_rejection, report.figures = done.fed.first_rejection, done.fed.figures
    report.sold_out = done.sold_out
    (Path(report.folder) / folders.GUESS).write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2))


def _show_done(out: Console, report: TryReport, done: Imported) -> None:
    fed = done.fed
    if fed is not None:
        _say(out, f"\n{report.items:,} items and {fed.sent - fed.rejected:,} events are in "
                  f"({report.seconds['import']:.1f} s, figures included)")
        if fed.rejected:
            _say(out, f"  {fed.rejected:,} events were not taken, the first: {fed.first_rejection}")
        if report.moved_ms:
            _say(out, f"  for the page the times were moved by {report.moved_ms / _DAY_MS:,.1f} days, so that the "
                      f"history ends now; {folders.EVENTS} has them as they were")
        _show_figures(out, fed.figures, report.sold_out)
    _say(out, f"\n{report.folder} has the configuration and the mapped files. To go on from there:")
    for command in report.commands:
        _say(out, f"  {command}")


def _show_figures(out: Console, figures: Figures | None, sold_out: int) -> None:
    if figures is None:
        _say(out, f"  too short a history for figures: they need {STEPS_LEAST} acts behind its first four fifths, of "
                  "people who did something before")
        return
    _say(out, f"\nWhat comes next? {figures.steps:,} acts of {figures.people:,} people behind "
              f"{_day(figures.cut_ms)}, each asked before it was told", style="bold")
    _say(out, f"  {'':26}{'HR@' + str(K):>8}{'MRR@' + str(K):>9}")
    for name, side in (("Instanter", figures.engine), ("popular, of all time", figures.popular),
                       ("popular, of the last day", figures.popular_day)):
        _say(out, _row(name, side))
    if sold_out:
        _say(out, f"  {sold_out:,} products of the clicks are sold out by the feed: they are in no list here, and acts "
                  "on them are not asked about")
    against = "of all time" if figures.against == "popular" else "of the last day"
    _say(out, f"  against popular {against}: HR@{K} {_interval(figures.hit_rate)}, MRR@{K} {_interval(figures.mrr)}")
    _say(out, "  (95 % intervals, paired, people resampled together)", style="dim")


def _row(name: str, side: Side) -> str:
    return f"  {name:26}{side.hit_rate:8.3f}{side.mrr:9.3f}"


def _interval(apart: Difference) -> str:
    """
    >>> _interval(Difference(0.1, 0.05, 0.2))
    '+0.100 [+0.050, +0.200]'
    """
    return f"{apart.mean:+.3f} [{apart.low:+.3f}, {apart.high:+.3f}]"


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M")
