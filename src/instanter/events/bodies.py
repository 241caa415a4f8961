"""One way to decode the body of a request other than an event."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import msgspec
from msgspec import inspect

from ..foundation.errors import RequestRejected
from ..foundation.limits import EVENT_BRACKETS_FREE, EVENT_BYTES_PER_BRACKET_MIN
from .structure import finite, has_extreme_number
from .wanted import wanted

T = TypeVar("T")
_WRONG_WORD: Final = re.compile(r"^Invalid enum value '?(.*?)'? - at `\$(.*)`$")
_UNKNOWN_FIELD: Final = re.compile(r"^Object contains unknown field `([^`]*)`$")
_STEP: Final = re.compile(r"\.([^.\[]+)|(\[[^\]]*\])")


def body_decoder(of: type[T]) -> Callable[[bytes], T]:
    """A function from bytes to `of` that raises `RequestRejected` and nothing else, in time bounded by the bytes."""
    plain = msgspec.json.Decoder(of)
    careful = msgspec.json.Decoder(of, float_hook=finite)

    def decode(body: bytes) -> T:
        if body.count(b"{") + body.count(b"[") > EVENT_BRACKETS_FREE + len(body) // EVENT_BYTES_PER_BRACKET_MIN:
            reason = f"at most one map or list in every {EVENT_BYTES_PER_BRACKET_MIN} bytes of a body"
            raise RequestRejected("too_complex", reason)
        decoder = careful if has_extreme_number(body) else plain
        try:
            return decoder.decode(body)
        except msgspec.ValidationError as error:
            advice = _choices(of, str(error)) or _near(of, str(error))
            raise RequestRejected("schema", wanted(error) + advice) from None
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
            raise RequestRejected("malformed", str(error)) from None
        except RecursionError:
            raise RequestRejected("too_deep", "nesting over the decoder's limit") from None

    return decode


def _near(of: type, reason: str) -> str:
    """The field that was probably meant by one that there is not, to go behind the reason; "" if it is about another.

    >>> class Asked(msgspec.Struct, forbid_unknown_fields=True):
    ...     rewrite: str = ""
    >>> _near(Asked, "Object contains unknown field `rewrites`")
    ': did you mean rewrite?'
    """
    found = _UNKNOWN_FIELD.match(reason)
    kind = inspect.type_info(of)
    if found is None or not isinstance(kind, inspect.StructType):
        return ""
    return meant_of(found[1], [field.encode_name for field in kind.fields])


def meant_of(name: str, names: Sequence[str]) -> str:
    """To go behind a name that means nothing here: the one that was probably meant, or all that there are.

    >>> meant_of("comit", ["replace", "commit"]), meant_of("share", ["model"])
    (': did you mean commit?', ': there is model')
    """
    close = difflib.get_close_matches(name.casefold(), [one.casefold() for one in names], n=1)
    meant = next((one for one in names if close and one.casefold() == close[0]), "")
    if meant:
        return f": did you mean {meant}?"
    return f": there {'is' if len(names) == 1 else 'are'} {', '.join(sorted(names))}"


def _choices(of: type, reason: str) -> str:
    """What may stand where msgspec has found another word, to go behind its reason; "" if it is about something else.

    >>> from typing import Literal
    >>> reasons = ("Invalid enum value 'left' - at `$[...]`", "Invalid enum value 'dwon' - at `$[...]`")
    >>> [_choices(list[Literal["up", "down"]], reason) for reason in reasons]
    [': one of down, up', ': did you mean down?']
    """
    found = _WRONG_WORD.search(reason)
    if found is None:
        return ""
    kinds = _alternatives(inspect.type_info(of))
    for name, _ in _STEP.findall(found[2]):
        kinds = [inner for kind in kinds for inner in _within(kind, name)]
    words = {str(value) for kind in kinds if isinstance(kind, inspect.LiteralType) for value in kind.values}
    if close := difflib.get_close_matches(found[1].casefold(), words, n=1):
        return f": did you mean {close[0]}?"
    return f": one of {', '.join(sorted(words))}" if words else ""


def _within(kind: inspect.Type, name: str) -> list[inspect.Type]:
    """Types of the field of that name, or of the elements if there is none."""
    if isinstance(kind, inspect.StructType):
        return [one for field in kind.fields if field.encode_name == name for one in _alternatives(field.type)]
    if isinstance(kind, inspect.DictType):
        return _alternatives(kind.value_type)
    if isinstance(kind, inspect.ListType | inspect.VarTupleType):
        return _alternatives(kind.item_type)
    return []


def _alternatives(kind: inspect.Type) -> list[inspect.Type]:
    if isinstance(kind, inspect.Metadata):
        return _alternatives(kind.type)
    if isinstance(kind, inspect.UnionType):
        return [one for part in kind.types for one in _alternatives(part)]
    return [kind]
