"""The declared repair of an event that could not be taken: a short list of steps, applied to the decoded event.

A step has a name (`do`), a path and what else it needs; `when` makes it conditional. Paths are those of the event as
it was sent: `properties.price`, `properties.products[].price` (each element), `properties."a.b"` (a name with a dot).
A path that is not there is passed over. Bytes that are no JSON can be repaired by `replace` alone, which works on the
text and therefore comes first.

The law: no rewrite makes one person's event another's, and none grants what was refused. The ids of people
(`anonymousId`, `userId`, `previousId`) can be removed, trimmed and written as text, nothing else; `messageId`, by which
an event has one effect, can be cut short too; `context.consent` cannot be touched, and no event becomes an `identify`
or `alias`. The steps are checked when they are read, the result once more against what was sent.

>>> rewrite = Rewrite([ToNumber("properties.price", decimal=","), Rename("properties.sku", to="product_id")])
>>> rewrite.apply(b'{"userId": "u1", "properties": {"sku": 7, "price": "1.299,50"}}')
b'{"userId":"u1","properties":{"price":1299.5,"product_id":7}}'
>>> Rewrite([Set("userId", value="u2")])
Traceback (most recent call last):
instanter.foundation.errors.RequestRejected: rewrite: step 1 (set userId): ids of people are removed, trimmed ...
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from math import isfinite
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ..foundation.errors import EventRejected, RequestRejected
from ..foundation.limits import (
    NAME_CHARS_MAX,
    QUARANTINED_EVENT_BYTES_MAX,
    REWRITE_BYTES_MAX,
    REWRITE_PLACES_MAX,
    REWRITE_STEPS_MAX,
    REWRITE_TEXT_CHARS_MAX,
)
from .bodies import body_decoder
from .reject import PEOPLE, identifiers_in
from .times import read_time_ms

MESSAGE: Final = "messageId"
CONSENT: Final = ("context", "consent")
LINKING: Final = ("identify", "alias")
CODE: Final = "rewrite"

_PART = re.compile(r'(?:"([^"]+)"|([^.\[\]"]+))(\[\])?')
_REFUSED = re.compile(rb"""["'](\w{1,64})["']\s{0,16}:\s{0,16}false""")

PathText = Annotated[str, Meta(min_length=1, max_length=2 * NAME_CHARS_MAX)]
ShortText = Annotated[str, Meta(max_length=REWRITE_TEXT_CHARS_MAX)]
Scalar = ShortText | int | float | bool | None
Sort = Literal["text", "number", "boolean", "map", "list", "null", "absent"]
Path = tuple[str | None, ...]
"""Names; None stands for each element of a list."""


class When(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The step is done only where this holds. A `[]` that the step's path has too means the same element."""

    path: PathText
    equals: Scalar | UnsetType = UNSET
    type: Sort | UnsetType = UNSET


class _Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do"):
    path: PathText

    def target(self, path: Path) -> Path | None:
        """The other path that is written to."""
        return None


class Set(_Step, frozen=True, forbid_unknown_fields=True, tag="set"):
    """Put a value there, and the maps on the way to it."""

    value: Scalar
    when: When | None = None


class Remove(_Step, frozen=True, forbid_unknown_fields=True, tag="remove"):
    """Take it out."""

    when: When | None = None


class Rename(_Step, frozen=True, forbid_unknown_fields=True, tag="rename"):
    """Give it another name in the same map."""

    to: PathText
    when: When | None = None

    def target(self, path: Path) -> Path:
        return (*path[:-1], self.to)


class Move(_Step, frozen=True, forbid_unknown_fields=True, tag="move"):
    """Put it somewhere else."""

    to: PathText
    when: When | None = None

    def target(self, path: Path) -> Path:
        return parse_path(self.to)


class Copy(_Step, frozen=True, forbid_unknown_fields=True, tag="copy"):
    """Put a text, number, boolean or null somewhere else as well."""

    to: PathText
    when: When | None = None

    def target(self, path: Path) -> Path:
        return parse_path(self.to)


class ToNumber(_Step, frozen=True, forbid_unknown_fields=True, tag="to_number"):
    """Make a number of a text. With `decimal = ","` dots are taken for the marks of thousands, else commas are."""

    decimal: Literal[".", ","] = "."
    when: When | None = None


class ToText(_Step, frozen=True, forbid_unknown_fields=True, tag="to_text"):
    """Make a text of a number or boolean."""

    when: When | None = None


class Trim(_Step, frozen=True, forbid_unknown_fields=True, tag="trim"):
    """Take the blanks off both ends of a text."""

    when: When | None = None


class Truncate(_Step, frozen=True, forbid_unknown_fields=True, tag="truncate"):
    """Keep the first `length` characters of a text, or elements of a list."""

    length: Annotated[int, Meta(ge=0)]
    when: When | None = None


class Replaced(_Step, frozen=True, forbid_unknown_fields=True, tag="map"):
    """Put another value in the place of each that stands in `values`; numbers and booleans as in JSON."""

    values: dict[str, Scalar]
    when: When | None = None


class ShiftTime(_Step, frozen=True, forbid_unknown_fields=True, tag="shift_time"):
    """Move a time (ISO 8601 or milliseconds) by so much; it is a number of milliseconds afterwards."""

    by_ms: int
    when: When | None = None


class Replace(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="replace"):
    """In the text of the event put `put` in the place of each `find`, before anything is decoded."""

    find: Annotated[str, Meta(min_length=1, max_length=REWRITE_TEXT_CHARS_MAX)]
    put: ShortText


MapStep = Set | Remove | Rename | Move | Copy | ToNumber | ToText | Trim | Truncate | Replaced | ShiftTime
Step = MapStep | Replace


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    steps: list[Step]


class _Place(NamedTuple):
    """Where a path leads: `holder[key]`, and the elements of lists that were passed on the way."""

    holder: Any
    key: str | int
    elements: tuple[int, ...]

    @property
    def value(self) -> Any:
        return self.holder[self.key]

    @property
    def is_there(self) -> bool:
        return self.key in self.holder if isinstance(self.holder, dict) else True


class _Planned(NamedTuple):
    step: MapStep
    path: Path
    target: Path | None
    when: Path | None
    told: str
    """The step as errors name it."""


_decode_map = body_decoder(dict[str, Any])
_encode = msgspec.json.Encoder().encode


def parse_path(text: str) -> Path:
    """The parts of a path, or `RequestRejected`.

    >>> parse_path('properties.products[]."unit.price"')
    ('properties', 'products', None, 'unit.price')
    """
    parts: list[str | None] = []
    at = 0
    while True:
        match = _PART.match(text, at)
        if match is None:
            raise RequestRejected(CODE, f"{text!r} is not a path such as properties.products[].price")
        parts += [match[1] or match[2], *([None] if match[3] else [])]
        at = match.end()
        if at == len(text):
            return tuple(parts)
        if text[at] != ".":
            raise RequestRejected(CODE, f"{text!r} is not a path such as properties.products[].price")
        at += 1


def decode_steps(document: bytes, *, toml: bool) -> list[Step]:
    """The steps of a file: `[[steps]]` tables in TOML, {"steps": [...]} or the list alone in JSON."""
    if len(document) > REWRITE_BYTES_MAX:
        raise RequestRejected(CODE, f"a rewrite has at most {REWRITE_BYTES_MAX} bytes")
    try:
        found = tomllib.loads(document.decode()) if toml else msgspec.json.decode(document)
        return msgspec.convert(found if isinstance(found, dict) else {"steps": found}, _Document).steps
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.DecodeError, RecursionError) as error:
        raise RequestRejected(CODE, str(error)) from None


class Rewrite:
    """Checked steps. `RequestRejected` names the first step that cannot be; applying is pure and keeps nothing."""

    def __init__(self, steps: Sequence[Step]) -> None:
        if len(steps) > REWRITE_STEPS_MAX:
            raise RequestRejected(CODE, f"a rewrite has at most {REWRITE_STEPS_MAX} steps")
        self._texts: list[tuple[str, bytes, bytes]] = []
        self._planned: list[_Planned] = []
        for number, step in enumerate(steps, start=1):
            if not isinstance(step, Replace):
                self._planned.append(_planned(number, step))
            elif self._planned:
                raise RequestRejected(CODE, f"step {number} (replace): works on text, so it stands before all others")
            else:
                self._texts.append((f"step {number} (replace)", step.find.encode(), step.put.encode()))

    @property
    def is_empty(self) -> bool:
        """Whether it changes nothing."""
        return not (self._texts or self._planned)

    @property
    def reads_maps(self) -> bool:
        """Whether there is more to it than text."""
        return bool(self._planned)

    def without_text(self) -> Rewrite:
        """What is left to do to the events of a body whose text was repaired as a whole."""
        rest = Rewrite([])
        rest._planned = self._planned
        return rest

    def apply_to_text(self, raw: bytes) -> bytes:
        """The `replace` steps alone; `EventRejected` (code `rewrite`) when they break the law or grow too large."""
        text = raw
        for told, find, put in self._texts:
            if len(text) + text.count(find) * (len(put) - len(find)) > QUARANTINED_EVENT_BYTES_MAX:
                raise _failed(told, f"the text would have more than {QUARANTINED_EVENT_BYTES_MAX} bytes")
            text = text.replace(find, put)
        if text != raw:
            _check_text(raw, text)
        return text

    def apply(self, raw: bytes) -> bytes:
        """The event after all steps, or `EventRejected` with code `rewrite`, naming the step.

        What is no JSON object is given back as it is when no step changed its text: the door says what is wrong.
        """
        text = self.apply_to_text(raw)
        event = _decoded(text)
        if event is None:
            if text != raw:
                raise EventRejected(CODE, "the text is still no JSON object")
            return raw
        for planned in self._planned:
            _apply(planned, event)
        if not self.is_empty:
            _check_law(raw, text, event)
        return _encoded(event) if self._planned else text


def _decoded(raw: bytes) -> dict[str, Any] | None:
    try:
        return _decode_map(raw)
    except RequestRejected:
        return None


def _encoded(event: dict[str, Any]) -> bytes:
    raw = _encode(event)
    if len(raw) > QUARANTINED_EVENT_BYTES_MAX:
        raise EventRejected(CODE, f"the event would have more than {QUARANTINED_EVENT_BYTES_MAX} bytes")
    return raw


# The law.


def _planned(number: int, step: MapStep) -> _Planned:
    """The step with its paths, or `RequestRejected` when it breaks the law or makes no sense."""
    told = f"step {number} ({step.__struct_config__.tag} {step.path})"
    try:
        path = parse_path(step.path)
        target = step.target(path)
        when = parse_path(step.when.path) if step.when is not None else None
    except RequestRejected as error:
        raise RequestRejected(CODE, f"{told}: {error.message}") from None
    for other, name in ((target, "to"), (when, "when")):
        if other is not None and not _shares_lists(path, other):
            raise RequestRejected(CODE, f"{told}: each [] of {name!r} is one that the path has too")
    if isinstance(step, Rename | Move | Copy) and None in (path[-1], *(target or ())[-1:]):
        raise RequestRejected(CODE, f"{told}: an element of a list has no name; name a field of it")
    if isinstance(step, Rename) and step.to == path[-1]:
        raise RequestRejected(CODE, f"{told}: that is its name already")
    if step.when is not None and (step.when.equals is UNSET) == (step.when.type is UNSET):
        raise RequestRejected(CODE, f"{told}: `when` has either `equals` or `type`")
    for touched in (path, target):
        if touched is not None:
            _check_path(told, step, touched)
    return _Planned(step, path, target, when, told)


def _shares_lists(path: Path, other: Path) -> bool:
    """Whether every list in `other` is passed by `path` in the same place."""
    lists = len(other) - other[::-1].index(None) if None in other else 0
    return path[:lists] == other[:lists]


def _check_path(told: str, step: MapStep, path: Path) -> None:
    if path[0] in PEOPLE and not isinstance(step, Remove | Trim | ToText):
        raise RequestRejected(CODE, f"{told}: ids of people are removed, trimmed or written as text, nothing else")
    if path[0] == MESSAGE and not isinstance(step, Remove | Trim | ToText | Truncate):
        raise RequestRejected(CODE, f"{told}: a {MESSAGE} is removed, trimmed or cut short, nothing else")
    if path[: len(CONSENT)] == CONSENT or path == CONSENT[:1]:
        raise RequestRejected(CODE, f"{told}: what a person has agreed to is not for a rewrite to say")
    if path == ("type",) and isinstance(step, Set) and step.value in LINKING:
        raise RequestRejected(CODE, f"{told}: no event is made one that links people")


def _check_law(raw: bytes, text: bytes, event: Mapping[str, Any]) -> None:
    """The result says of people nothing that was not sent; `EventRejected` if it does.

    Where what was sent is no JSON, its text with the `replace` steps stands for it: those were checked by themselves.
    """
    whole = _decoded(raw)
    sent = whole if whole is not None else _decoded(text) or {}
    for field in PEOPLE:
        if event.get(field) is not None and _id_text(event[field]) != _id_text(sent.get(field)):
            raise EventRejected(CODE, f"{field} would be another one than was sent")
    kind = event.get("type")
    if kind in LINKING and (kind != sent.get("type") or kind.encode() not in raw):
        raise EventRejected(CODE, "no event is made one that links people")
    refused = {name for name, agreed in _consent(sent).items() if agreed is False}
    if whole is None:
        refused |= _refusals_in(raw)
    if any(_consent(event).get(name) is not False for name in refused):
        raise EventRejected(CODE, "a refusal of consent would be lost")


def _check_text(raw: bytes, text: bytes) -> None:
    """Ids of people may vanish from the text; none may appear, change or change places."""
    before = iter(identifiers_in(raw))
    if not all(one in before for one in identifiers_in(text)):
        raise EventRejected(CODE, "an id of a person would be another one than was sent")


def _refusals_in(raw: bytes) -> set[str]:
    """Purposes that a text which is no JSON seems to refuse."""
    at = raw.find(b"consent")
    return {name.decode() for name in _REFUSED.findall(raw[at : at + REWRITE_TEXT_CHARS_MAX])} if at >= 0 else set()


def _consent(event: Mapping[str, Any]) -> dict[str, Any]:
    """Purposes as the event states them, also as consent tools nest them."""
    context = event.get("context")
    consent = context.get("consent") if isinstance(context, dict) else None
    stated = consent if isinstance(consent, dict) else {}
    nested = stated.get("categoryPreferences")
    return stated | nested if isinstance(nested, dict) else stated


def _id_text(value: Any) -> str | None:
    return value.strip() if isinstance(value, str) else str(value) if type(value) is int else None


# The steps.


def _apply(planned: _Planned, event: dict[str, Any]) -> None:
    step, told = planned.step, planned.told
    try:
        for elements in reversed(_elements(event, planned.path)):  # What is removed leaves what is before it in place.
            if planned.when is not None:
                assert step.when is not None
                if not _holds(step.when, planned.when, event, elements):
                    continue
            for place in _places(event, planned.path, elements=elements, make=isinstance(step, Set)):
                if isinstance(step, Set):
                    place.holder[place.key] = step.value
                elif place.is_there:
                    _change(planned, event, place)
    except _Fault as fault:
        raise _failed(told, str(fault)) from None


def _elements(event: dict[str, Any], path: Path) -> list[tuple[int, ...]]:
    """The elements of lists that a path passes, one way each; of a path without lists the one that passes none."""
    if None not in path:
        return [()]
    return [place.elements for place in _places(event, path[: len(path) - path[::-1].index(None)])]


class _Fault(Exception):
    """Why a step cannot be done here."""


def _failed(told: str, reason: str) -> EventRejected:
    return EventRejected(CODE, f"{told}: {reason}")


def _change(planned: _Planned, event: dict[str, Any], place: _Place) -> None:
    step, holder, key = planned.step, place.holder, place.key
    if isinstance(step, Remove):
        del holder[key]
    elif isinstance(step, Rename):
        holder[step.to] = holder.pop(key)
    elif isinstance(step, Move | Copy):
        if isinstance(step, Copy) and isinstance(place.value, dict | list):
            raise _Fault("a map or list is moved, not copied")
        value = holder.pop(key) if isinstance(step, Move) else place.value
        assert planned.target is not None
        for there in _places(event, planned.target, elements=place.elements, make=True):
            there.holder[there.key] = value
    else:
        holder[key] = _VALUES[type(step)](step, place.value)


def _to_number(step: ToNumber, value: Any) -> Any:
    if not isinstance(value, str):
        if type(value) in (int, float):
            return value
        raise _Fault("this is neither a number nor the text of one")
    plain = value.strip().replace("," if step.decimal == "." else ".", "").replace(",", ".").replace("_", " ")
    try:
        number = float(plain)
    except ValueError:
        raise _Fault("the text is no number") from None
    if not isfinite(number):
        raise _Fault("the number has no end")
    return int(number) if number.is_integer() and abs(number) < 2**53 and "." not in plain else number


def _to_text(step: ToText, value: Any) -> Any:
    if isinstance(value, dict | list):
        raise _Fault("a map or list is no text")
    return value if value is None or isinstance(value, str) else _encode(value).decode()


def _trim(step: Trim, value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def _truncate(step: Truncate, value: Any) -> Any:
    return value[: step.length] if isinstance(value, str | list) else value


def _replaced(step: Replaced, value: Any) -> Any:
    if isinstance(value, dict | list):
        return value
    return step.values.get(value if isinstance(value, str) else _encode(value).decode(), value)


def _shift_time(step: ShiftTime, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _Fault("this is no time")
    try:
        return read_time_ms(value, "it") + step.by_ms
    except EventRejected as error:
        raise _Fault(error.message) from None


_VALUES: dict[type, Callable[[Any, Any], Any]] = {
    ToNumber: _to_number,
    ToText: _to_text,
    Trim: _trim,
    Truncate: _truncate,
    Replaced: _replaced,
    ShiftTime: _shift_time,
}


def _holds(when: When, path: Path, event: dict[str, Any], elements: tuple[int, ...]) -> bool:
    places = [place for place in _places(event, path, elements=elements) if place.is_there]
    if when.type is not UNSET:
        return _sort(places[0].value) == when.type if places else when.type == "absent"
    return bool(places) and _same(places[0].value, when.equals)


def _same(value: Any, wanted: Any) -> bool:
    """Equal as JSON: true is not 1."""
    return isinstance(value, bool) == isinstance(wanted, bool) and value == wanted


def _sort(value: Any) -> Sort:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "text"
    if isinstance(value, dict):
        return "map"
    return "list" if isinstance(value, list) else "number"


def _places(
    event: dict[str, Any], path: Path, *, elements: tuple[int, ...] = (), make: bool = False
) -> list[_Place]:
    """Where a path leads to. `elements` says which of the first lists' elements are meant; `make` fills in maps, and
    is a fault where something else stands in the way, but for elements of lists: those are passed over."""
    found = [_Place({"": event}, "", ())]
    for part, following in zip_longest(path, path[1:], fillvalue=""):
        found = [child for place in found for child in _children(place, part, elements, make)]
        if len(found) > REWRITE_PLACES_MAX:
            raise _Fault(f"more than {REWRITE_PLACES_MAX} places")
        if make and following:
            _make_maps(found)
    return found


def _children(place: _Place, part: str | None, elements: tuple[int, ...], make: bool) -> list[_Place]:
    if not place.is_there:
        return []
    value, passed = place.value, place.elements
    if part is not None:
        if isinstance(value, dict):
            return [_Place(value, part, passed)]
        if make and not passed:
            raise _Fault("there is no map to put it in")
        return []
    if not isinstance(value, list):
        return []
    wanted = range(len(value)) if len(passed) >= len(elements) else (elements[len(passed)],)
    return [_Place(value, number, (*passed, number)) for number in wanted if number < len(value)]


def _make_maps(places: list[_Place]) -> None:
    for place in places:
        if not place.is_there or place.value is None:
            place.holder[place.key] = {}
