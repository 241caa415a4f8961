"""The command `instanter`. Verbs are imported only when they are used, so that `--help` answers at once.

Exit codes: 0 done, 1 the work failed, 2 the command was wrong. An error is one sentence on stderr, and with `--json`
also `{"error": {"code", "message"}}` on stdout; never a traceback, unless it is a defect of ours.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import json
import keyword
import os
import re
import sys
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol, cast

from ... import __version__
from ...foundation.errors import ConfigRejected, Corrupt, InstanterError, Lost, Rejected, Unavailable
from .arguments import add_json

DONE: Final = 0
FAILED: Final = 1
WRONG: Final = 2


class Verb(NamedTuple):
    """One line of the table: `instanter <name>` is the module of that name beside this one."""

    name: str
    summary: str

    @property
    def module(self) -> str:
        """Its module; a verb that is a word of the language, as `import` is, has a `_` behind it there."""
        return f"{self.name}_" if keyword.iskeyword(self.name) else self.name


VERBS: Final = (
    Verb("init", "write a commented configuration to start from"),
    Verb("serve", "serve events, catalogue and decisions over HTTP"),
    Verb("import", "import items and events from files"),
    Verb("remap", "tell kept events that nobody heard again, under today's names and features"),
    Verb("demo", "watch a shop's page change with what a visitor does"),
    Verb("try", "try the engine on the files of a shop, and measure it on their own past"),
    Verb("replay", "rebuild the state from the log, and compare it with the live one"),
    Verb("whatif", "decide the past anew under another configuration, model or weights"),
    Verb("train", "learn to rank a placement from what was shown and what came of it"),
    Verb("embed", "make vectors of the items' texts, and load them where they find more than words"),
    Verb("verify", "check every checksum of a data directory"),
    Verb("backup", "copy a data directory, also while a server serves it"),
    Verb("restore", "put a backup back into an empty folder"),
    Verb("keys", "make, list and revoke access keys"),
    Verb("audit", "list what administrators did"),
    Verb("migrate", "bring a data directory to today's format, as a start does"),
    Verb("erase", "erase a person, and print the signed receipt"),
    Verb("export", "print everything that is held about a person"),
    Verb("clock", "show the machine's clock and uptime, and confirm a clock that a server doubts"),
    Verb("quarantine", "list the events that were rejected, and why"),
    Verb("bench", "measure how fast the engine is on this machine"),
    Verb("doctor", "check whether this machine and configuration are ready to serve"),
)

_DESCRIPTION: Final = """\
Instanter is a real-time personalization engine: it takes in what people do as they do it,
and answers "what should this person see now?" in milliseconds."""

_EXAMPLES: Final = """\
examples:
  instanter demo                              see it work, in a minute
  instanter try feed.csv clicks.csv           see it work with your own shop
  instanter init shop                         write shop/instanter.toml
  instanter serve --dev --config shop/instanter.toml --data shop/data
  instanter doctor --config shop/instanter.toml --data shop/data

`instanter VERB --help` says more about each. Exit codes: 0 done, 1 the work failed, 2 the command was wrong."""


_SAID_ABOUT_ITSELF: Final = frozenset({"-h", "--help", "-V", "--version"})
_OPTION: Final = re.compile(r"--[a-z][a-z-]*")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
"""What stands for a byte that is no UTF-8 in an argument."""
_FILES: Final = frozenset({"events", "items", "files"})
"""Arguments that are the names of files, and may be more than that."""


class VerbModule(Protocol):
    """What a verb's module offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Say what the verb takes; sets `description` and `epilog` too. `--json` is there already."""
        ...

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it and return the exit code. An `InstanterError` or `OSError` becomes a sentence."""
        ...


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code; a wrong command line raises `SystemExit(2)` as argparse does."""
    words = list(sys.argv[1:] if argv is None else argv)
    chosen = _chosen(words)
    module = _module(chosen) if chosen else None
    arguments = _parsed(words, chosen, module)
    if not __debug__:
        return _failed(arguments, WRONG, "optimized", "Python's -O takes out the checks that guard the state; "
                                                      "start without -O and PYTHONOPTIMIZE")
    assert module is not None, "argparse lets no command without a verb through"
    return run_verb(module, arguments)


def _parsed(words: Sequence[str], chosen: Verb | None, module: VerbModule | None) -> argparse.Namespace:
    """The arguments; what is misspelt is told with what was probably meant."""
    parser, verb = _parser(chosen, module)
    wrong = next((word for word in words if not word.startswith("-")), "") if verb is None else ""
    if wrong and not _SAID_ABOUT_ITSELF & set(words):
        parser.error(f"there is no verb {wrong!r}{_meant(wrong, [one.name for one in VERBS])}")
    arguments, unknown = parser.parse_known_args(words)
    if unknown:
        options = _OPTION.findall((verb or parser).format_usage())
        (verb or parser).error(f"unrecognized arguments: {' '.join(unknown)}{_meant(unknown[0], options)}")
    if broken := _no_text(arguments):
        (verb or parser).error(f"{broken} holds bytes that are no UTF-8")
    return arguments


def _no_text(arguments: argparse.Namespace) -> str:
    """The name of an argument whose bytes are no text, "" if there is none; a file may be called by any bytes.

    >>> _no_text(argparse.Namespace(name=os.fsdecode(b"caf\\xe9"), scope=["write"]))
    'name'
    """
    for name, value in vars(arguments).items():
        texts = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        if name not in _FILES and any(isinstance(text, str) and _SURROGATE.search(text) for text in texts):
            return name
    return ""


def _meant(word: str, known: Sequence[str]) -> str:
    """
    >>> _meant("--replce", ["--items", "--replace"]), _meant("frobnicate", ["init"])
    (', did you mean --replace?', '')
    """
    close = difflib.get_close_matches(word.partition("=")[0], known, n=1)
    return f", did you mean {close[0]}?" if close else ""


def _chosen(words: Sequence[str]) -> Verb | None:
    """The verb, which is the first word that is not an option; None where there is none of that name."""
    first = next((word for word in words if not word.startswith("-")), "")
    return next((verb for verb in VERBS if verb.name == first), None)


def _module(verb: Verb) -> VerbModule:
    return cast(VerbModule, importlib.import_module(f"{__package__}.{verb.module}"))


def _parser(
    chosen: Verb | None, module: VerbModule | None
) -> tuple[argparse.ArgumentParser, argparse.ArgumentParser | None]:
    """All verbs by name, only the chosen one with its arguments; and that of the chosen one."""
    parser = argparse.ArgumentParser(
        prog="instanter", description=_DESCRIPTION, epilog=_EXAMPLES, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-V", "--version", action="version", version=f"instanter {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, title="verbs")
    of_chosen = None
    for verb in VERBS:
        one = verbs.add_parser(verb.name, help=verb.summary, allow_abbrev=False,
                               formatter_class=argparse.RawDescriptionHelpFormatter)
        if verb == chosen and module is not None:
            add_json(one)
            module.add_arguments(one)
            of_chosen = one
    return parser, of_chosen


def run_verb(module: VerbModule, arguments: argparse.Namespace) -> int:
    """Run a verb's module and return the exit code, errors told as the module's text above says."""
    try:
        code = module.run(arguments)
        sys.stdout.flush()
    except ConfigRejected as error:
        return _failed(arguments, WRONG, "config", str(error))
    except Rejected as error:
        return _failed(arguments, WRONG, error.code, error.message)
    except Unavailable as error:
        return _failed(arguments, FAILED, error.code, error.message)
    except Corrupt as error:
        return _failed(arguments, FAILED, "corrupt", str(error))
    except Lost as error:
        return _failed(arguments, FAILED, "lost", str(error))
    except InstanterError as error:
        return _failed(arguments, FAILED, "broken", str(error))
    except BrokenPipeError:
        return _reader_gone()
    except OSError as error:
        return _failed(arguments, FAILED, "system", _told(error))
    except KeyboardInterrupt:
        return _failed(arguments, FAILED, "interrupted", "stopped before it was done")
    return code


def _failed(arguments: argparse.Namespace, exit_code: int, code: str, message: str) -> int:
    if getattr(arguments, "json", False):
        print(json.dumps({"error": {"code": code, "message": message}}))
    print(f"instanter {arguments.verb}: {message}", file=sys.stderr)
    return exit_code


def _told(error: OSError) -> str:
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename is not None else reason


def _reader_gone() -> int:
    """Whoever read our output has left, as `| head` does: the rest has no reader, and that is no defect."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
