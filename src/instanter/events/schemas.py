"""What events of a name have to look like, by configuration: `[[events.schemas]]`, compiled once to checks by path.

A path leads from the event's own fields on: `properties.price`, `properties.products[].sku`, `context.page.path`.
What a schema finds names the field and the kind of what stands there, never a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

from ..foundation.errors import ConfigRejected, EventRejected
from ..foundation.limits import NAME_CHARS_MAX, SCHEMA_FIELDS_MAX, SCHEMA_WORDS_MAX
from .kinds import Names, folded
from .notes import SCHEMA_FAULT, Note, add_note, kind_of
from .numbers import read_number
from .times import read_time_ms

Sort = Literal["any", "text", "number", "integer", "boolean", "time", "list", "object"]
OnFault = Literal["refuse", "repair", "report"]
UnknownFields = Literal["ignore", "report", "refuse"]

_Path = Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX)]
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.$-]{1,64}", re.ASCII)
_WANTED: Final = {
    "text": "text", "number": "a number", "integer": "a whole number", "boolean": "true or false", "time": "a time",
    "list": "a list", "object": "an object",
}  # fmt: skip
_TRUTHS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_SOURCE: Final = "by its schema in [[events.schemas]]"


class FieldRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one field has to be."""

    type: Annotated[Sort, Meta(description="What kind of value it is.")] = "any"
    min: Annotated[float | None, Meta(description="The least number it may be.")] = None
    max: Annotated[float | None, Meta(description="The greatest number it may be.")] = None
    enum: Annotated[tuple[str | int | float | bool, ...], Meta(
        max_length=SCHEMA_WORDS_MAX, description="The values it may have; empty: any.")] = ()


class EventSchema(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What events of one name have to look like."""

    event: Annotated[str, Meta(
        min_length=1, max_length=NAME_CHARS_MAX, description="The event's name, in any spelling it is known by.")]
    required: Annotated[tuple[_Path, ...], Meta(
        max_length=SCHEMA_FIELDS_MAX,
        description='Fields that have to be there and say something, e.g. ["properties.product_id"].')] = ()
    fields: Annotated[dict[_Path, FieldRule], Meta(
        max_length=SCHEMA_FIELDS_MAX,
        description='What fields have to be where they are there, e.g. {"properties.price" = {type = "number", '
                    "min = 0}}.")] = {}
    unknown_fields: Annotated[UnknownFields, Meta(
        description="What is done about properties that the schema does not name.")] = "ignore"
    on_fault: Annotated[OnFault, Meta(
        description="refuse puts the event into the quarantine; repair converts the field or leaves it out, and "
                    "refuses where one that is required is left without; report takes it and tells.")] = "refuse"


class _Fault(NamedTuple):
    """What is wrong with one value, and the value that stands for it when it is repaired; `_GONE` for none."""

    reason: str
    instead: Any


_GONE: Final = object()
_Check = Callable[[Any], _Fault | None]


class CompiledSchema:
    """One schema as checks."""

    def __init__(self, schema: EventSchema) -> None:
        """Raises `ConfigRejected`, with the name of the setting, for what no event could agree with."""
        self._required = [(path, _steps(path, schema.event)) for path in schema.required]
        self._fields = [
            (path, _steps(path, schema.event), _check_of(path, rule, schema.event))
            for path, rule in schema.fields.items()
        ]
        self._named = frozenset(
            steps[1] for _, steps in (*self._required, *((path, steps) for path, steps, _ in self._fields))
            if steps[0] == "properties" and len(steps) > 1
        )  # fmt: skip
        self._unknown = schema.unknown_fields
        self._on_fault = schema.on_fault

    def apply(self, sent: dict[str, Any], notes: list[Note]) -> bool:
        """Check an event's map; whether it was changed. Raises `EventRejected` for a fault that is to be refused."""
        changed = False
        for path, steps, check in self._fields:
            for holder, key in _places(sent, steps):
                fault = check(holder[key])
                if fault is not None:
                    changed |= self._meet(path, fault, holder, key, notes)
        if self._unknown != "ignore":
            changed |= self._look_for_unknown(sent, notes)
        for path, steps in self._required:
            if any(_says_nothing(value) for value in _values(sent, steps)):
                self._tell(path, "is missing", notes, mendable=False)
        return changed

    def _meet(self, path: str, fault: _Fault, holder: Any, key: Any, notes: list[Note]) -> bool:
        self._tell(path, fault.reason, notes)
        if self._on_fault != "repair":
            return False
        if fault.instead is not _GONE:
            holder[key] = fault.instead
        elif isinstance(holder, dict):
            del holder[key]
        else:
            holder[key] = None
        return True

    def _look_for_unknown(self, sent: dict[str, Any], notes: list[Note]) -> bool:
        properties = sent.get("properties")
        unknown = [name for name in properties if name not in self._named] if isinstance(properties, dict) else []
        for name in unknown:
            field = f"properties.{name}" if _PLAIN.fullmatch(name) else "properties"
            if self._unknown == "report":
                add_note(notes, SCHEMA_FAULT, field, "is a field that the schema does not name")
                continue
            self._tell(field, "is a field that the schema does not name", notes)
            if self._on_fault == "repair":
                del sent["properties"][name]
        return bool(unknown) and self._unknown == "refuse" and self._on_fault == "repair"

    def _tell(self, field: str, reason: str, notes: list[Note], *, mendable: bool = True) -> None:
        if self._on_fault == "refuse" or (self._on_fault == "repair" and not mendable):
            raise EventRejected("schema", f"{field} {reason}, {_SOURCE}")
        add_note(notes, SCHEMA_FAULT, field, reason)


def compile_schemas(schemas: Sequence[EventSchema], names: Names) -> dict[str, CompiledSchema]:
    """Canonical event name -> its schema. Raises `ConfigRejected`."""
    compiled: dict[str, CompiledSchema] = {}
    for schema in schemas:
        name = names.canonical(schema.event)
        if name in compiled:
            raise ConfigRejected(f'events.schemas has "{name}" twice', setting="schemas")
        compiled[name] = CompiledSchema(schema)
    return compiled


def _steps(path: str, event: str) -> tuple[str, ...]:
    """The steps of a path; `[]` is a step of its own."""
    steps: list[str] = []
    for part in path.split("."):
        name = part.removesuffix("[]")
        if not name or "[" in name or "]" in name:
            raise ConfigRejected(
                f'events.schemas, "{event}": "{path}" is no path',
                suggestion='write names with points between, and [] behind a list: "properties.products[].price"',
                setting="schemas",
            )
        steps += [name, "[]"] if part.endswith("[]") else [name]
    return tuple(steps)


def _places(holder: Any, steps: Sequence[str]) -> Iterator[tuple[Any, Any]]:
    """(map or list, key) of each place of a path that is there and holds something."""
    first, rest = steps[0], steps[1:]
    if first == "[]":
        keys: Sequence[Any] = range(len(holder)) if isinstance(holder, list) else ()
    else:
        keys = (first,) if isinstance(holder, dict) and holder.get(first) is not None else ()
    for key in keys:
        if not rest:
            yield holder, key
        else:
            yield from _places(holder[key], rest)


def _values(holder: Any, steps: Sequence[str]) -> Iterator[Any]:
    """What stands at each place of a path; None where one is not there."""
    if not steps:
        yield holder
    elif steps[0] != "[]":
        yield from _values(holder.get(steps[0]) if isinstance(holder, dict) else None, steps[1:])
    elif isinstance(holder, list) and holder:
        for element in holder:
            yield from _values(element, steps[1:])
    else:
        yield None


def _says_nothing(value: Any) -> bool:
    return value is None or value in ([], {}) or (isinstance(value, str) and not value.strip())


def _check_of(path: str, rule: FieldRule, event: str) -> _Check:
    if rule.min is not None and rule.max is not None and rule.min > rule.max:
        raise ConfigRejected(f'events.schemas, "{event}": {path} has a min above its max', setting="schemas")
    if (rule.min is not None or rule.max is not None) and rule.type not in ("any", "number", "integer"):
        reason = f'events.schemas, "{event}": {path} is {_WANTED[rule.type]} and has a min or max'
        raise ConfigRejected(reason, suggestion='type = "number"', setting="schemas")
    words = {folded(str(word)): word for word in rule.enum}

    def check(value: Any) -> _Fault | None:
        instead, reason = value, ""
        if not _is(rule.type, value):
            reason = f"is {kind_of(value)} where {_WANTED[rule.type]} is wanted"
            instead = _converted(rule.type, value)
            if instead is _GONE:
                return _Fault(reason, _GONE)
        if isinstance(instead, int | float) and not isinstance(instead, bool):
            if rule.min is not None and instead < rule.min:
                return _Fault(f"is below {rule.min:g}", _GONE)
            if rule.max is not None and instead > rule.max:
                return _Fault(f"is above {rule.max:g}", _GONE)
        elif rule.min is not None or rule.max is not None:
            return _Fault(reason or f"is {kind_of(value)} where a number is wanted", _GONE)
        if words and instead not in rule.enum:
            return _Fault("is none of the values of its enum", words.get(folded(str(instead)), _GONE))
        return _Fault(reason, instead) if reason else None

    return check


def _is(sort: Sort, value: Any) -> bool:
    if sort == "any":
        return True
    if sort == "time":
        return _is_time(value)
    if sort in ("number", "integer"):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and (sort == "number" or float(value).is_integer())
    kinds: Mapping[str, type] = {"text": str, "boolean": bool, "list": list, "object": dict}
    return isinstance(value, kinds[sort])


def _is_time(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return False
    try:
        read_time_ms(value, "")
    except EventRejected:
        return False
    return True


def _converted(sort: Sort, value: Any) -> Any:
    """The value as another sort where there is one reading; `_GONE` else."""
    if sort in ("number", "integer"):
        read = read_number(value)
        if read.fault or (sort == "integer" and not read.number.is_integer()):
            return _GONE
        return int(read.number) if sort == "integer" else read.number
    if sort == "boolean":
        return _TRUTHS.get(str(value).strip().lower(), _GONE) if isinstance(value, str | int) else _GONE
    if sort == "text":
        return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else _GONE
    if sort == "list" and not isinstance(value, dict):
        return [value]
    return _GONE
