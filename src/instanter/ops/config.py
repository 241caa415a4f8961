"""Reading the configuration: from one TOML file to the settings, with an error that names file, line and remedy."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Meta

from ..api.browsers import host_fault, origin_fault
from ..api.visitors import proxy_fault
from ..decisions import placement as placements
from ..decisions.placement import DEFAULT_PLACEMENTS, Placement
from ..events.kinds import canonical_name, nearest_name
from ..events.meanings import BY_NAME
from ..features import declaration as features
from ..features.carriers import Carriers, carriers, handed_over
from ..features.declaration import DEFAULT_FEATURES, FeatureDeclaration
from ..foundation.errors import ConfigRejected
from ..foundation.limits import (
    CONFIG_BYTES_MAX,
    FEATURES_MAX,
    TENANTS_MAX,
)
from . import toml_lines
from .settings import Config, Section, TenantSettings


def load(path: Path | None) -> Config:
    """The configuration in a file, or the defaults for None; raises `ConfigRejected` naming file, line and reason.

    Relative paths in it are taken to be relative to the file.
    """
    if path is None:
        return Config()
    config = parse(_read(path), file=str(path))
    return msgspec.structs.replace(
        config, geo=_based(config.geo, path.parent, "database"),
        privacy=_based(config.privacy, path.parent, "keys", "master_key_file"),
    )  # fmt: skip


_Paths = TypeVar("_Paths", bound=Section)


def _based(section: _Paths, folder: Path, *names: str) -> _Paths:
    """The section with these paths taken from the folder; one that says "" stays so."""
    paths = {name: str(folder / path) for name in names if (path := getattr(section, name))}
    return msgspec.structs.replace(section, **paths)


def located(error: ConfigRejected, path: Path | None) -> ConfigRejected:
    """An error that was found after reading, with the file and the line of the setting it names."""
    if path is None or error.file:
        return error
    lines = toml_lines.key_lines(_read(path))
    line = min((line for key, line in lines.items() if key and key[-1] == error.setting), default=0)
    return ConfigRejected(error.reason, file=str(path), line=line, suggestion=error.suggestion, setting=error.setting)


def parse(text: str, *, file: str = "") -> Config:
    """The configuration in a TOML text; `file` is what errors call it.

    >>> parse("[log]\\npartitons = 4", file="shop.toml")
    Traceback (most recent call last):
    instanter.foundation.errors.ConfigRejected: shop.toml:2: [log] has no setting "partitons" \
(did you mean "partitions"?)
    """
    try:
        raw = tomllib.loads(text)
        lines = toml_lines.key_lines(text)
    except ValueError as error:
        raise _not_toml(error, text, file) from None
    except RecursionError:
        raise ConfigRejected("arrays or tables are nested too deep", file=file) from None
    return _Reading(file, lines).config(raw)


def sections() -> Iterator[tuple[str, type[Section]]]:
    """The tables of single settings, in the order of the file."""
    for field in msgspec.structs.fields(Config):
        if isinstance(field.type, type) and issubclass(field.type, Section):
            yield field.name, field.type


def expectation(kind: Any) -> str:
    """What a value of this annotation has to be, in words.

    >>> expectation(Annotated[int, Meta(ge=1, le=9)])
    'a whole number from 1 to 9'
    """
    metas, plain = unwrapped(kind)
    low = max((meta.ge for meta in metas if meta.ge is not None), default=None)
    high = min((meta.le for meta in metas if meta.le is not None), default=None)
    bounds = f" from {_plain_number(low)} to {_plain_number(high)}" if low is not None and high is not None else ""
    above = max((meta.gt for meta in metas if meta.gt is not None), default=None)
    if above is not None and high is not None:
        bounds = f" above {_plain_number(above)}, up to {_plain_number(high)}"
    if get_origin(plain) in (Union, UnionType):
        return expectation(next(part for part in get_args(plain) if part is not type(None)))
    if get_origin(plain) is Literal:
        return "one of " + ", ".join(get_args(plain))
    if get_origin(plain) is tuple:
        return f"a list, each {expectation(get_args(plain)[0])}"
    if get_origin(plain) is dict:
        return f"a table, each {expectation(get_args(plain)[1])}"
    if isinstance(plain, type) and issubclass(plain, msgspec.Struct):
        return "a table with the keys " + ", ".join(plain.__struct_fields__)
    names = {bool: "true or false", int: "a whole number", float: "a number", str: _text_expectation(metas)}
    return names[plain] + bounds


def _plain_number(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else str(number)


def _text_expectation(metas: Sequence[Meta]) -> str:
    longest = next((meta.max_length for meta in metas if meta.max_length is not None), None)
    shortest = next((meta.min_length for meta in metas if meta.min_length is not None), 0)
    return f"a text of {shortest} to {longest} characters" if longest else "a text"


_SERVED = {"origins": origin_fault, "hosts": host_fault, "proxies": proxy_fault}
_T = TypeVar("_T", bound=msgspec.Struct)
_Declared = TypeVar("_Declared", bound=FeatureDeclaration | Placement)


class _Reading:
    """One file on its way to a `Config`; knows where each key stands."""

    def __init__(self, file: str, lines: dict[toml_lines.Path, int]) -> None:
        self._file = file
        self._lines = lines

    def config(self, raw: dict[str, Any]) -> Config:
        self._refuse_unknown(Config, raw, ())
        singles = {
            name: self._struct(kind, raw[name], (name,)) for name, kind in sections() if name in raw
        }
        config = msgspec.structs.replace(Config(), **singles)
        self._check_spans(config)
        declared = self._features(raw.get("features", []), config.session.length_max_h * 3_600_000)
        placed = self._placements(raw.get("placements", []), carriers(declared))
        tenants = self._tenants(raw.get("tenants", []))
        config = msgspec.structs.replace(config, features=declared, placements=placed, tenants=tenants)
        self._check_training(config)
        self._check_serve(config)
        self._check_event_names(config)
        return config

    def _check_spans(self, config: Config) -> None:
        """The settings that only make sense together."""
        if config.session.gap_min > config.session.length_max_h * 60:
            self._reject(("session", "gap_min"), "session.gap_min is longer than session.length_max_h")
        if config.lateness.sequence_min > config.lateness.window_h * 60:
            self._reject(("lateness", "sequence_min"), "lateness.sequence_min is longer than lateness.window_h")
        if config.lateness.sequence_min > config.session.gap_min:
            self._reject(
                ("lateness", "sequence_min") if ("lateness", "sequence_min") in self._lines else ("session", "gap_min"),
                f"lateness.sequence_min ({config.lateness.sequence_min}) is longer than session.gap_min "
                f"({config.session.gap_min})",
                f"set lateness.sequence_min = {config.session.gap_min}",
            )
        if config.dedup.window_h < config.lateness.window_h:
            self._reject(
                ("dedup", "window_h") if ("dedup", "window_h") in self._lines else ("lateness", "window_h"),
                "dedup.window_h is shorter than lateness.window_h: a late duplicate would count twice",
                f"set dedup.window_h = {config.lateness.window_h}",
            )

    def _check_event_names(self, config: Config) -> None:
        """No name is mapped to one that is probably a slip of the pen: all these events would count nothing."""
        heard = {name for feature in config.features for name in (*feature.on, *feature.takes_back)}
        for sent, name in config.events.names.items():
            if canonical_name(name) in BY_NAME or name in heard:
                continue
            if close := nearest_name(name, heard):
                self._reject(
                    ("events", "names", sent), f'"{sent}" is mapped to "{name}", which no feature hears',
                    f'did you mean "{close}"?',
                )  # fmt: skip

    def _check_training(self, config: Config) -> None:
        """What is trained is there."""
        known = [place.id for place in config.placements]
        for index, name in enumerate(config.training.placements):
            if name not in known:
                remedy = _suggested_word(name, known)
                self._reject(("training", "placements", index), f'there is no placement "{name}" to train', remedy)

    def _check_serve(self, config: Config) -> None:
        """Origins, hosts and proxies are written as a browser, a client and a proxy send them."""
        for name, fault_of in _SERVED.items():
            for index, value in enumerate(getattr(config.serve, name)):
                if fault := fault_of(value):
                    self._reject(("serve", name, index), f"serve.{name}: {_shown(value)} cannot stand there", fault)

    def _features(self, raw: object, session_ms_max: int) -> tuple[FeatureDeclaration, ...]:
        own = self._structs(FeatureDeclaration, raw, ("features",))
        for index, feature in enumerate(own):
            fault = (features.first_fault(feature, session_ms_max=session_ms_max) or features.lost_role(feature)
                     or features.mislabelled(feature))
            if fault is not None:
                self._reject(("features", index, fault.field), f'feature "{feature.name}": {fault.reason}',
                             fault.suggestion)
        self._refuse_twins("features", "name", [feature.name for feature in own])
        self._refuse_twins("features", "role", [feature.role or "none" for feature in own], but="none")
        together = _replaced(handed_over(DEFAULT_FEATURES, own), own, "name")
        if len(together) > FEATURES_MAX:
            self._reject(("features",), f"{len(together)} features, the built-in ones included, are more than "
                                        f"{FEATURES_MAX}")
        return together

    def _placements(self, raw: object, having: Carriers) -> tuple[Placement, ...]:
        own = self._structs(Placement, raw, ("placements",))
        for index, place in enumerate(own):
            fault = placements.first_fault(place)
            if fault is not None:
                self._reject(("placements", index, fault.field), f'placement "{place.id}": {fault.reason}',
                             fault.suggestion)
        self._refuse_twins("placements", "id", [place.id for place in own])
        together = _replaced(DEFAULT_PLACEMENTS, own, "id")
        for place in together:
            if fault := placements.role_missing(place, having):
                path = ("placements", own.index(place), fault.field) if place in own else ("features",)
                self._reject(path, f'placement "{place.id}": {fault.reason}', fault.suggestion)
        return together

    def _tenants(self, raw: object) -> tuple[TenantSettings, ...]:
        own = self._structs(TenantSettings, raw, ("tenants",))
        self._refuse_twins("tenants", "id", [tenant.id for tenant in own])
        if len(own) > TENANTS_MAX:
            self._reject(("tenants",), f"{len(own)} tenants are more than {TENANTS_MAX}")
        return tuple(own)

    def _refuse_twins(self, table: str, key: str, names: list[str], *, but: str = "") -> None:
        for index, name in enumerate(names):
            if name != but and name in names[:index]:
                first = toml_lines.line_of(self._lines, (table, names.index(name)))
                self._reject((table, index, key), f'[[{table}]] has "{name}" twice', f"the first is at line {first}")

    def _structs(self, kind: type[_T], raw: object, path: toml_lines.Path) -> list[_T]:
        if not isinstance(raw, list):
            self._reject(path, f'"{path[0]}" is a list of tables', f"each begins with [[{path[0]}]]")
        return [self._struct(kind, one, (*path, index)) for index, one in enumerate(raw)]

    def _struct(self, kind: type[_T], raw: object, path: toml_lines.Path) -> _T:
        if not isinstance(raw, dict):
            self._reject(path, f"{_spoken(path)} is a table", f"write it as {_header(path)}")
        self._refuse_unknown(kind, raw, path)
        for field in msgspec.structs.fields(kind):
            if field.required and field.name not in raw:
                self._reject(path, f'{_header(path)} lacks "{field.name}"')
            if field.name in raw:
                self._check_value(field.type, raw[field.name], (*path, field.name))
        return msgspec.convert(raw, kind)

    def _check_value(self, kind: Any, raw: object, path: toml_lines.Path) -> None:
        """Elements first, so that the line is theirs; then the whole, for its own bounds."""
        _, plain = unwrapped(kind)
        if isinstance(raw, list) and get_origin(plain) is tuple:
            for index, element in enumerate(raw):
                self._check_value(get_args(plain)[0], element, (*path, index))
        if isinstance(raw, dict) and get_origin(plain) is dict:
            for key, element in raw.items():
                self._check_value(get_args(plain)[1], element, (*path, key))
        try:
            msgspec.convert(raw, kind)
        except msgspec.ValidationError as error:
            reason = f"{_spoken(path)} must be {expectation(kind)}, not {_shown(raw)}"
            if isinstance(raw, list | dict):
                reason = f"{_spoken(path)} must be {expectation(kind)}: {error}"
            self._reject(path, reason, _remedy(plain, raw))

    def _refuse_unknown(self, kind: type[msgspec.Struct], raw: dict[str, Any], path: toml_lines.Path) -> None:
        known = [field.name for field in msgspec.structs.fields(kind)]
        for key in raw:
            if key not in known:
                what = f'{_header(path)} has no setting "{key}"' if path else f'there is no section or setting "{key}"'
                self._reject((*path, key), what, _suggested_key(key, known))

    def _reject(self, path: toml_lines.Path, reason: str, suggestion: str = "") -> NoReturn:
        raise ConfigRejected(reason, file=self._file, line=toml_lines.line_of(self._lines, path), suggestion=suggestion)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(CONFIG_BYTES_MAX + 1)
    except FileNotFoundError:
        raise ConfigRejected("there is no such file", file=str(path),
                             suggestion="`instanter init DIR` writes one") from None
    except OSError as error:
        raise ConfigRejected(f"it cannot be read: {error.strerror}", file=str(path)) from None
    if len(raw) > CONFIG_BYTES_MAX:
        raise ConfigRejected(f"it is larger than {CONFIG_BYTES_MAX} bytes", file=str(path))
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigRejected("it is not UTF-8 text", file=str(path), line=line) from None


def _not_toml(error: ValueError, text: str, file: str) -> ConfigRejected:
    """The parser's complaint, its position moved to where positions belong."""
    end = text.rstrip().count("\n") + 1
    match = re.search(r"\s*\(at (?:line (\d+), column \d+|end of document)\)$", str(error))
    reason = str(error)[: match.start()] if match else str(error)
    line = int(match[1] or end) if match else 0
    suggestion = "text stands in quotes, and each setting on a line of its own" if "value" in reason.lower() else ""
    return ConfigRejected(f"this is not TOML: {reason[:1].lower()}{reason[1:]}", file=file, line=line,
                          suggestion=suggestion)


def _replaced(defaults: Sequence[_Declared], own: Sequence[_Declared], key: str) -> tuple[_Declared, ...]:
    """The defaults in their order, each replaced by an own one of the same name; new ones follow."""
    by_name: dict[str, _Declared] = {getattr(one, key): one for one in (*defaults, *own)}
    return tuple(by_name.values())


def unwrapped(kind: Any) -> tuple[list[Meta], Any]:
    """The constraints of an annotation, and the type within."""
    metas: list[Meta] = []
    while get_origin(kind) is Annotated:
        kind, *more = get_args(kind)
        metas += [meta for meta in more if isinstance(meta, Meta)]
    return metas, kind


def _header(path: toml_lines.Path) -> str:
    return f"[[{path[0]}]]" if len(path) > 1 and isinstance(path[1], int) else "[" + ".".join(map(str, path)) + "]"


def _spoken(path: toml_lines.Path) -> str:
    """A path as people say it: `log.partitions`, `features.k`."""
    return ".".join(part for part in path if isinstance(part, str))


def _shown(raw: object) -> str:
    if isinstance(raw, bool):
        return str(raw).lower()
    text = f'"{raw}"' if isinstance(raw, str) else str(raw)
    return text if len(text) <= 60 else text[:57] + "..."


def _remedy(plain: Any, raw: object) -> str:
    if get_origin(plain) in (Union, UnionType):
        return _remedy(get_args(plain)[0], raw)
    if isinstance(raw, str) and get_origin(plain) is Literal:
        return _suggested_word(raw, get_args(plain))
    if isinstance(raw, str) and plain in (int, float, bool):
        return "write it without quotes"
    if isinstance(raw, str) and get_origin(plain) is tuple:
        return f"write it in brackets: [{_shown(raw)}]"
    return ""


def _suggested_key(key: str, known: Sequence[str]) -> str:
    close = _suggested_word(key, known)
    if close:
        return close
    for name, kind in sections():
        if key in kind.__struct_fields__:
            return f'"{key}" belongs to [{name}]'
    return "there are " + ", ".join(known)


def _suggested_word(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f'did you mean "{close[0]}"?' if close else ""
