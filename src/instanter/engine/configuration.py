"""What folding and deciding stand on, kept by the hash that receipts name: old decisions stay recomputable."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from ..decisions.decide import Decider
from ..decisions.placement import Placement
from ..features.assemble import FIRST_RULES
from ..features.compile import compile_features
from ..features.declaration import FeatureDeclaration
from ..foundation.disk import Disk, write_whole
from ..foundation.errors import Corrupt
from ..foundation.limits import CONFIG_BYTES_MAX
from ..state.schema import Schema

_SUFFIX: Final = ".json"
_HASH_BYTES: Final = 8
_KEPT_BYTES_MAX: Final = 4 * CONFIG_BYTES_MAX
_NOT_KEPT: Final = "the configuration is not what was kept under this name"


class Configuration(msgspec.Struct, frozen=True):
    """The part of a configuration that answers depend on; whatever else is set changes none."""

    features: tuple[FeatureDeclaration, ...]
    placements: tuple[Placement, ...]
    settings: dict[str, int]
    """Of the fold, see `program.SETTING_NAMES`."""
    weights: dict[str, float] = {}
    exploration: float = 0.05
    rules: int | msgspec.UnsetType = msgspec.UNSET
    """That inputs are made by, see `assemble.EVIDENCE`. What was kept before there were others names none, and so it
    keeps its name."""

    def encode(self) -> bytes:
        """Equal configurations give equal bytes."""
        return msgspec.json.encode(self, order="deterministic")

    @property
    def name(self) -> str:
        """As receipts carry it: the hash of `encode`."""
        return _name_of(self.encode())

    def folds_as(self, other: Configuration) -> bool:
        """Whether the same log comes to the same state under both."""
        return (_folded(self.features), self.settings) == (_folded(other.features), other.settings)

    def schema(self, *, memory_mb: int) -> Schema:
        """The state's schema, with room for what that much memory holds."""
        return compile_features(self.features, settings=self.settings, memory_mb=memory_mb)

    def decider(self, schema: Schema, *, name: str = "") -> Decider:
        """The decider over that schema; `ConfigRejected` if a ranker's weight has no input. `name` is the one it was
        kept under: with fields that have come since it would have another."""
        return Decider(
            schema, self.features, self.placements, weights=self.weights, exploration=self.exploration,
            config_hash=name or self.name, rules=FIRST_RULES if self.rules is msgspec.UNSET else self.rules,
        )  # fmt: skip


def _folded(features: tuple[FeatureDeclaration, ...]) -> list[FeatureDeclaration]:
    """The features without what decisions alone look at."""
    return [msgspec.structs.replace(feature, role=None) for feature in features]


class Configurations:
    """Every configuration that decisions were made under, a file each. They are few and small, and none is removed."""

    def __init__(self, disk: Disk, directory: Path) -> None:
        self._disk = disk
        self._directory = directory

    def keep(self, configuration: Configuration) -> str:
        """Make sure that it is kept; its name. Durable on return. One that is damaged is written again."""
        name, raw = configuration.name, configuration.encode()
        self._disk.make_directory(self._directory)
        if f"{name}{_SUFFIX}" not in self._disk.list(self._directory) or self._read(name) != raw:
            write_whole(self._disk, self._path(name), raw)
        return name

    def damaged(self) -> Iterator[Corrupt]:
        """Those that are not what was kept under their name: nothing that was decided under them is made again."""
        for file in self._disk.list(self._directory):
            name = file.removesuffix(_SUFFIX)
            if name != file and _name_of(self._read(name)) != name:
                yield Corrupt(file=str(self._path(name)), offset=0, reason=_NOT_KEPT)

    def get(self, name: str) -> Configuration:
        """The configuration of that name; `Corrupt` if it is not there, or not what was kept."""
        path = self._path(name)
        if path.name not in self._disk.list(self._directory):
            raise Corrupt(file=str(path), offset=0, reason="the configuration is not there")
        raw = self._read(name)
        if _name_of(raw) != name:
            raise Corrupt(file=str(path), offset=0, reason=_NOT_KEPT)
        try:
            return msgspec.json.decode(raw, type=Configuration)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            reason = f"the configuration is of another version: {error}"
            raise Corrupt(file=str(path), offset=0, reason=reason) from None

    def _read(self, name: str) -> bytes:
        return self._disk.read(self._path(name), 0, _KEPT_BYTES_MAX)

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}{_SUFFIX}"


def _name_of(raw: bytes) -> str:
    return hashlib.blake2b(raw, digest_size=_HASH_BYTES).hexdigest()
