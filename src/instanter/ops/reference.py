"""What is written about the configuration: the commented file of `instanter init`, and docs/configuration.md.

Both are made from the struct itself, so neither can say what is not so. `python -m instanter.ops.reference FILE`
writes the page.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, get_args, get_origin

import msgspec

from ..decisions.placement import DEFAULT_PLACEMENTS, Placement
from ..events.schemas import EventSchema, FieldRule
from ..features.declaration import DEFAULT_FEATURES, FeatureDeclaration
from ..features.roles import ROLES
from ..models.online import LearnerDeclaration
from .config import expectation, sections, unwrapped
from .settings import Section, TenantSettings

_WIDTH: Final = 110

_OPENING: Final = """\
Settings of Instanter. Each stands here with its default, so this file changes nothing until you change it.
A line that begins with # and no blank is a setting too: take the # away to use it.
"""
_ON_FEATURES: Final = """\
Features: what is kept of the events. The ones below are built in. One with another name is added; one with the same
name takes its place.
"""
_ON_ROLES: Final = """\
Roles: what decisions look for, whatever the feature is called. A feature that declares the role of a built-in one takes
it over. A placement with a source whose role nobody has is refused.
"""
_ON_PLACEMENTS: Final = """\
Placements: the spots of your pages. The ones below are built in. One with another id is added; one with the same id
takes its place.
"""
_ON_LEARNERS: Final = """\
What the online learner of the placement above reads, and how far it may go. It begins as the ranker alone; every
outcome of the placement moves its weights.
"""
_ON_TENANTS: Final = """\
Tenants: whose customers do not know of each other. Any access key may name one; what stands here are those whose terms
differ from the ones in [limits].
"""
_ON_SCHEMAS: Final = """\
Schemas: what events of a name have to look like. Nothing is checked of names that have none. See
[the guide](guides/schemas.md).
"""
_SCHEMA: Final = EventSchema(
    event="Product Viewed", required=("properties.product_id",),
    fields={"properties.price": FieldRule(type="number", min=0.0)}, on_fault="repair",
)  # fmt: skip
_TENANT: Final = TenantSettings(id="shop-two", requests_per_s=500, share=2, items_max=50_000)


def template() -> str:
    """The commented TOML that says what the defaults are; parsed, it is exactly the defaults."""
    blocks = [_comment(_OPENING)]
    blocks += [_section(name, kind) for name, kind in sections()]
    blocks.append(_comment(_ON_FEATURES) + _keys(FeatureDeclaration))
    blocks += [_declared("features", feature) for feature in DEFAULT_FEATURES]
    blocks.append(_comment(_ON_PLACEMENTS) + _keys(Placement))
    blocks += [_declared("placements", placement) for placement in DEFAULT_PLACEMENTS]
    blocks.append(_comment(_ON_LEARNERS) + _keys(LearnerDeclaration))
    blocks.append(_comment(_ON_TENANTS) + _keys(TenantSettings))
    return "\n".join(blocks)


def page() -> str:
    """docs/configuration.md."""
    blocks = [
        "# Configuration\n",
        "One TOML file, given as `--config FILE`; `instanter init DIR` writes one in which every setting stands with "
        "its default. A key that is not listed here is an error, which names the file, the line and what was probably "
        "meant. This page is written by `make docs` from the types that read the file.\n",
    ]
    blocks += [f"## [{name}]\n\n{_prose(kind)}\n\n{_table(name, kind)}" for name, kind in sections()]
    blocks.append(f"## [[features]]\n\n{_flowed(_ON_FEATURES)}\n\n{_table('', FeatureDeclaration)}")
    blocks.append(f"{_flowed(_ON_ROLES)}\n\n{_role_table()}")
    blocks.append(_listed("The built-in features:", "features", DEFAULT_FEATURES))
    blocks.append(f"## [[placements]]\n\n{_flowed(_ON_PLACEMENTS)}\n\n{_table('', Placement)}")
    blocks.append(_listed("The built-in placements:", "placements", DEFAULT_PLACEMENTS))
    blocks.append(f"## [placements.learner]\n\n{_flowed(_ON_LEARNERS)}\n\n{_table('', LearnerDeclaration)}")
    blocks.append(f"## [[events.schemas]]\n\n{_flowed(_ON_SCHEMAS)}\n\n{_table('', EventSchema)}")
    blocks.append(f"Keys of each of `fields`:\n\n{_table('', FieldRule)}")
    blocks.append(_listed("For example:", "events.schemas", [_SCHEMA]))
    blocks.append(f"## [[tenants]]\n\n{_flowed(_ON_TENANTS)}\n\n{_table('', TenantSettings)}")
    blocks.append(_listed("For example:", "tenants", [_TENANT]))
    return "\n".join(blocks)


def toml_value(value: Any) -> str:
    """A value as TOML writes it.

    >>> toml_value(("a", 'b "c"')), toml_value({"price": -1.0}), toml_value(False)
    ('["a", "b \\\\"c\\\\""]', '{"price" = -1.0}', 'false')
    """
    if isinstance(value, str):
        return msgspec.json.encode(value).decode()
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, msgspec.Struct):
        given = {
            field.name: getattr(value, field.name) for field in msgspec.structs.fields(value)
            if getattr(value, field.name) != field.default
        }  # fmt: skip
        return "{" + ", ".join(f"{key} = {toml_value(one)}" for key, one in given.items()) + "}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml_value(key)} = {toml_value(one)}" for key, one in value.items()) + "}"
    if isinstance(value, tuple):
        return "[" + ", ".join(toml_value(one) for one in value) + "]"
    return repr(value)


def _section(name: str, kind: type[Section]) -> str:
    lines = [f"# {_prose(kind)}\n[{name}]\n"]
    for field in msgspec.structs.fields(kind):
        lines.append(_comment(_meaning(field)))
        if field.name == "schemas":  # Tables of their own: a list written here would keep them from being added.
            lines += [f"#     {line}\n" for line in _toml_lines(f"{name}.schemas", _SCHEMA)]
        else:
            lines.append(f"{field.name} = {toml_value(_default(field))}\n")
    return "".join(lines)


def _keys(kind: type[msgspec.Struct]) -> str:
    """The keys of a declaration as a comment, one paragraph each."""
    return "".join(
        _comment(f"{field.name}: {_meaning(field)}", indent="    ") for field in msgspec.structs.fields(kind)
    )


def _declared(table: str, declared: msgspec.Struct) -> str:
    """A declaration, taken out by `#`, with the keys that are not at their defaults."""
    return "".join(f"#{line}\n" for line in _toml_lines(table, declared))


def _toml_lines(table: str, declared: msgspec.Struct) -> Iterator[str]:
    yield f"[[{table}]]"
    for field in msgspec.structs.fields(declared):
        value = getattr(declared, field.name)
        if field.required or value != _default(field):
            yield f"{field.name} = {toml_value(value)}"


def _listed(heading: str, table: str, declared: Sequence[msgspec.Struct]) -> str:
    text = "\n\n".join("\n".join(_toml_lines(table, one)) for one in declared)
    return f"{heading}\n\n```toml\n{text}\n```\n"


def _table(section: str, kind: type[msgspec.Struct]) -> str:
    rows = ["| key | is | default | what it does |", "|---|---|---|---|"]
    for field in msgspec.structs.fields(kind):
        name = f"{section}.{field.name}" if section else field.name
        cells = (f"`{name}`", expectation(field.type), _shown_default(field), _description(field.type))
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def _role_table() -> str:
    rows = ["| role | the feature is | for |", "|---|---|---|"]
    for role, rule in ROLES.items():
        shape = f"one of {', '.join(rule.aggregates)}" if len(rule.aggregates) > 1 else rule.aggregates[0]
        by = f" by {rule.by}" if rule.by else ""
        rows.append(f"| `{role}` | {shape}{by}, of scope {' or '.join(rule.scopes)} | {rule.use} |")
    return "\n".join(rows) + "\n"


def _shown_default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    default = _default(field)
    return "none" if default is None else f"`{toml_value(default)}`"


def _default(field: msgspec.structs.FieldInfo) -> Any:
    return field.default if field.default is not msgspec.NODEFAULT else (
        field.default_factory() if field.default_factory is not msgspec.NODEFAULT else None)


def _meaning(field: msgspec.structs.FieldInfo) -> str:
    """A description, and the bounds or choices where the type alone does not say them."""
    description = _description(field.type)
    _, plain = unwrapped(field.type)
    if plain in (int, float) or (get_args(plain) and get_origin(plain) not in (tuple, dict)):
        expected = expectation(field.type)
        description += f" {expected[:1].upper()}{expected[1:]}."
    return description


def _description(kind: Any) -> str:
    metas, _ = unwrapped(kind)
    return next(meta.description for meta in metas if meta.description)


def _prose(kind: type[msgspec.Struct]) -> str:
    assert kind.__doc__ is not None
    return kind.__doc__.strip()


def _flowed(text: str) -> str:
    return " ".join(text.split())


def _comment(text: str, *, indent: str = "") -> str:
    lines = textwrap.wrap(_flowed(text), _WIDTH, initial_indent="# ", subsequent_indent=f"# {indent}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
