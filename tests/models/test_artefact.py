"""A model file is taken whole and of the right format, or refused before anything in it is used."""

from __future__ import annotations

import hashlib
import pickle
import struct
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.features.assemble import Column
from instanter.foundation import limits
from instanter.foundation.disk import RealDisk
from instanter.foundation.errors import Broken, Corrupt, DiskFull, Overloaded, RequestRejected, Unavailable
from instanter.models import artefact as files
from instanter.models.artefact import Artefact, Calibration, Input, ScoreCheck, decode, encode, identify
from instanter.models.bodies import CATEGORICAL, MISSING_SHIFT, Trees
from instanter.models.store import ModelStore
from instanter.models.trained import check_scores, ranker_of

from ..conftest import Figures
from .examples import small_artefact, small_trees

PUNCTURES = 16
FLIPS = 1_000


class Trap:
    """Called by whoever unpickles it."""

    def __reduce__(self) -> tuple[object, ...]:
        return (pytest.fail, ("a pickle was loaded",))


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(RealDisk(), tmp_path / "models")


def path_of(tmp_path: Path, model_id: str) -> Path:
    return tmp_path / "models" / f"{model_id}.model"


def sealed(payload: bytes, *, version: int = files.FORMAT) -> bytes:
    """A file with a right checksum, whatever is in it."""
    digest = hashlib.blake2b(files.MAGIC + version.to_bytes(4, "little") + payload, digest_size=32).digest()
    return struct.pack("<8sI32s", files.MAGIC, version, digest) + payload


@pytest.mark.parametrize("logistic", [False, True])
def test_a_model_comes_back_as_it_was(store: ModelStore, logistic: bool) -> None:
    made = small_artefact(made_ms=5, logistic=logistic)
    model_id = store.put(made)
    found = store.get(model_id)
    assert found == made
    assert encode(found) == encode(made)
    assert identify(encode(made)) == model_id
    columns = [Column("item.a"), Column("item.b")]
    rows = np.array([[0.25, 3.0], [np.nan, -1.0]], np.float32)
    assert ranker_of(columns, found).score(rows, columns).tolist() == ranker_of(columns, made).score(
        rows, columns).tolist()  # fmt: skip
    assert ranker_of(columns, found).version == model_id
    check_scores(found)


def test_the_order_of_a_map_does_not_change_the_bytes() -> None:
    one, other = ({"a": 1.0, "b": 2.0}, {"b": 2.0, "a": 1.0})
    made = small_artefact()
    assert encode(msgspec.structs.replace(made, metrics=one)) == encode(msgspec.structs.replace(made, metrics=other))


@pytest.mark.row("R22")
def test_a_file_cut_off_anywhere_is_refused(store: ModelStore, tmp_path: Path, figures: Figures) -> None:
    model_id = store.put(small_artefact())
    whole = path_of(tmp_path, model_id).read_bytes()
    cuts = np.linspace(0, len(whole) - 1, PUNCTURES).astype(int).tolist()
    for size in cuts:
        path_of(tmp_path, model_id).write_bytes(whole[:size])
        with pytest.raises(Corrupt, match=model_id) as refusal:
            store.get(model_id)
        assert refusal.value.offset <= size
    figures(cut_off=len(cuts), used=0)


@pytest.mark.row("R22")
def test_every_flipped_bit_is_refused_by_the_checksum(figures: Figures) -> None:
    whole = encode(small_artefact())
    flips = np.random.default_rng(22).choice(len(whole) * 8, FLIPS, replace=False).tolist()
    for bit in flips:
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Corrupt, match=r"not a model|checksum does not match"):
            decode(bytes(damaged))
    figures(flipped=len(flips), used=0)


@pytest.mark.row("R22")
def test_a_format_of_a_newer_version_is_refused_by_its_number(figures: Figures) -> None:
    newer = sealed(b"whatever it holds", version=files.FORMAT + 1)
    with pytest.raises(Broken, match=f"shop.model has format {files.FORMAT + 1}; this program reads up to") as refusal:
        decode(newer, file="shop.model")
    assert not isinstance(refusal.value, Corrupt)
    figures(newer=1, used=0)


@pytest.mark.row("R22")
def test_a_pickle_is_refused_unread(store: ModelStore, tmp_path: Path, figures: Figures) -> None:
    hostile = pickle.dumps(Trap())
    model_id = store.put(small_artefact())
    for raw in (hostile, files.MAGIC + hostile, sealed(hostile), encode(small_artefact())[:44] + hostile):
        path_of(tmp_path, model_id).write_bytes(raw)
        with pytest.raises(Corrupt):
            store.get(model_id)
    figures(pickles=4, used=0)


@pytest.mark.row("R22")
def test_a_whole_file_under_the_name_of_another_is_refused(store: ModelStore, tmp_path: Path) -> None:
    one, other = store.put(small_artefact(made_ms=1)), store.put(small_artefact(made_ms=2))
    path_of(tmp_path, other).write_bytes(path_of(tmp_path, one).read_bytes())
    with pytest.raises(Corrupt, match="name of another"):
        store.get(other)
    assert [entry.damage for entry in store.list() if entry.id == other] != [""]


def broken_trees(**changed: object) -> Artefact:
    return msgspec.structs.replace(small_artefact(), body=msgspec.structs.replace(small_trees(), **changed).packed())


def forest(splits: int, leaves: int) -> Artefact:
    """So many trees of one split, and so many of none."""
    nodes = np.concatenate([np.arange(splits + 1), np.full(leaves, splits)]).astype(np.int32)
    ends = nodes + np.arange(splits + leaves + 1, dtype=np.int32)
    return broken_trees(
        first_node=nodes, first_leaf=ends, feature=np.zeros(splits, np.int32), threshold=np.zeros(splits),
        left=np.full(splits, ~0, np.int32), right=np.full(splits, ~1, np.int32), flags=np.zeros(splits, np.uint8),
        mean=np.zeros(splits), leaf=np.zeros(int(ends[-1])),
    )  # fmt: skip


def i4(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


@pytest.mark.parametrize("artefact", [
    broken_trees(left=i4(0, ~1)), broken_trees(left=i4(1, 0)), broken_trees(left=i4(2, ~1)),
    broken_trees(right=i4(~1, ~2)), broken_trees(right=i4(~9, ~2)), broken_trees(right=i4(1, ~2)),
    broken_trees(feature=i4(0, 2)), broken_trees(feature=i4(-1, 0)), broken_trees(feature=i4(0)),
    broken_trees(threshold=np.array([np.nan, 1.0])), broken_trees(leaf=np.array([0.0, np.inf, 0.0, 0.0])),
    broken_trees(leaf=np.zeros(3)), broken_trees(mean=np.array([np.nan, 0.0])),
    broken_trees(flags=np.array([CATEGORICAL, 0], np.uint8)),
    broken_trees(flags=np.array([3 << MISSING_SHIFT, 0], np.uint8)),
    broken_trees(first_node=i4(0, 1, 2)), broken_trees(first_node=i4(1, 2, 2)), broken_trees(first_node=i4(0, 2)),
    broken_trees(first_leaf=i4(0, 3, 5)), broken_trees(first_node=i4(), first_leaf=i4()),
    msgspec.structs.replace(small_artefact(), inputs=()),
    msgspec.structs.replace(small_artefact(), inputs=(Input("a"), Input("a"))),
    msgspec.structs.replace(small_artefact(), kind="logistic"),
    msgspec.structs.replace(small_artefact(logistic=True), kind="lambdamart"),
    msgspec.structs.replace(small_artefact(logistic=True), inputs=(Input("a"),)),
    msgspec.structs.replace(small_artefact(), check=ScoreCheck(0, b"", b"")),
    msgspec.structs.replace(small_artefact(), check=ScoreCheck(-1, b"", b"")),
    msgspec.structs.replace(small_artefact(), check=ScoreCheck(1, b"123", b"")),
    msgspec.structs.replace(small_artefact(), calibration=Calibration("platt", (), (), 1.0)),
    msgspec.structs.replace(small_artefact(), calibration=Calibration("platt", (0.0,), (0.0,), 0.0)),
    msgspec.structs.replace(small_artefact(), calibration=Calibration("platt", (0.0,), (float("nan"),), 1.0)),
    msgspec.structs.replace(small_artefact(), calibration=Calibration("isotonic", (0.0, 1.0), (1.0, 1.0), 1.0)),
    msgspec.structs.replace(small_artefact(), calibration=Calibration("isotonic", (0.0, 0.0), (0.0, 1.0), 1.0)),
])
def test_what_no_model_can_be_is_refused_whatever_its_checksum_says(artefact: Artefact) -> None:
    with pytest.raises(Corrupt, match="does not fit"):
        decode(encode(artefact))


@pytest.mark.parametrize("beyond", [0, 1])
def test_a_model_has_so_many_inputs_and_nodes_and_no_more(beyond: int) -> None:
    names = tuple(Input(f"i{number}") for number in range(limits.MODEL_INPUTS_MAX + beyond))
    wide = msgspec.structs.replace(small_artefact(), inputs=names)
    wide = msgspec.structs.replace(wide, check=ScoreCheck(1, bytes(4 * len(names)), bytes(8)))
    # Trees of one split, and one that is a leaf where the number of nodes is to be even.
    splits, leaves = divmod(limits.MODEL_NODES_MAX + beyond, 3)
    many = forest(splits, leaves)
    for artefact, bound in ((wide, limits.MODEL_INPUTS_MAX), (many, limits.MODEL_NODES_MAX)):
        if beyond:
            with pytest.raises(Corrupt, match=str(bound)):
                decode(encode(artefact))
        else:
            assert decode(encode(artefact)).inputs == artefact.inputs


def test_weights_that_are_no_numbers_are_refused() -> None:
    made = small_artefact(logistic=True)
    for name, value in (("weight", np.inf), ("deviation", 0.0), ("mean", np.nan)):
        body = msgspec.structs.replace(made.body, **{name: np.array([value, 1.0]).tobytes()})
        with pytest.raises(Corrupt):
            decode(encode(msgspec.structs.replace(made, body=body)))


def test_a_file_over_the_bound_is_refused_before_it_is_hashed() -> None:
    raw = bytes(limits.MODEL_BYTES_MAX + 1)
    with pytest.raises(Corrupt, match="at most"):
        decode(raw)


@settings(max_examples=300)
@given(st.binary(max_size=400))
def test_any_bytes_raise_our_errors_alone(raw: bytes) -> None:
    for damaged in (raw, files.MAGIC + raw, sealed(raw)):
        with pytest.raises(Corrupt):
            decode(damaged)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4))
def test_any_change_with_a_right_checksum_is_a_model_that_ends_or_an_error_of_ours(
    changes: list[tuple[int, int]],
) -> None:
    payload = bytearray(encode(small_artefact())[44:])
    for place, value in changes:
        payload[place % len(payload)] = value
    try:
        found = decode(sealed(bytes(payload)))
    except Corrupt:
        return
    columns = [Column("item.a"), Column("item.b")]
    assert ranker_of(columns, found).contributions(np.zeros((3, 2), np.float32), columns).shape == (3, 2)


def test_the_same_model_is_one_file_and_a_damaged_one_is_made_good(store: ModelStore, tmp_path: Path) -> None:
    model_id = store.put(small_artefact())
    assert store.put(small_artefact()) == model_id
    path_of(tmp_path, model_id).write_bytes(b"rubbish")
    assert store.put(small_artefact()) == model_id
    assert store.get(model_id) == small_artefact()
    assert [path.name for path in (tmp_path / "models").iterdir()] == [f"{model_id}.model"]


def test_an_unfinished_file_is_no_model_and_the_next_write_removes_it(store: ModelStore, tmp_path: Path) -> None:
    model_id = store.put(small_artefact())
    (tmp_path / "models" / ("0" * 32 + ".tmp")).write_bytes(b"half")
    (tmp_path / "models" / "readme.model").write_bytes(b"not ours")
    assert [entry.id for entry in store.list()] == [model_id]
    store.put(small_artefact(made_ms=1))
    assert not list((tmp_path / "models").glob("*.tmp"))


@pytest.mark.parametrize("model_id", ["f" * 32, "../secret", "", "readme"])
def test_a_model_that_is_not_there_is_unknown(store: ModelStore, model_id: str) -> None:
    for call in (store.get, store.remove):
        with pytest.raises(RequestRejected) as refusal:
            call(model_id)
        assert (refusal.value.code, refusal.value.status) == ("unknown_model", 404)
    assert not store.list()


def test_models_are_listed_from_the_newest_on(store: ModelStore, tmp_path: Path) -> None:
    ids = [store.put(small_artefact(made_ms=at_ms)) for at_ms in (20, 30, 10)]
    listed = store.list()
    assert [entry.id for entry in listed] == [ids[1], ids[0], ids[2]]
    assert (listed[0].made_ms, listed[0].placement, listed[0].metrics) == (30, "home.hero", {"ndcg_10": 0.5})
    assert listed[0].size_bytes == path_of(tmp_path, ids[1]).stat().st_size
    store.remove(ids[1])
    assert [entry.id for entry in store.list()] == [ids[0], ids[2]]


def test_a_damaged_model_is_listed_as_such(store: ModelStore, tmp_path: Path) -> None:
    model_id = store.put(small_artefact())
    path_of(tmp_path, model_id).write_bytes(b"rubbish")
    (entry,) = ModelStore(RealDisk(), tmp_path / "models").list()
    assert entry.id == model_id
    assert "the header is cut off" in entry.damage


def test_the_store_has_a_bound_and_pruning_spares_what_is_needed(store: ModelStore) -> None:
    ids = [store.put(small_artefact(made_ms=at_ms)) for at_ms in range(limits.MODELS_KEPT_MAX)]
    assert store.put(small_artefact(made_ms=3)) == ids[3]
    with pytest.raises(Overloaded):
        store.put(small_artefact(made_ms=1_000))
    assert store.prune({ids[0], ids[2]}, room=2) == [ids[1], ids[3]]
    assert store.prune({ids[0]}) == []
    assert store.prune({ids[0]}, spare={ids[2], ids[4]}, room=4) == [ids[5], ids[6]]
    store.put(small_artefact(made_ms=1_000))
    assert len(store.list()) == limits.MODELS_KEPT_MAX - 3
    assert store.prune({entry.id for entry in store.list()}, room=limits.MODELS_KEPT_MAX) == []


class FullDisk(RealDisk):
    """Takes no name."""

    def __init__(self, error: OSError) -> None:
        self._error = error

    def rename(self, old: Path, new: Path) -> None:
        raise self._error


@pytest.mark.parametrize(("number", "kind"), [(28, DiskFull), (5, Unavailable)])
def test_a_fault_of_the_disk_keeps_nothing(tmp_path: Path, number: int, kind: type[Unavailable]) -> None:
    failing = ModelStore(FullDisk(OSError(number, "no")), tmp_path / "models")
    with pytest.raises(kind):
        failing.put(small_artefact())
    assert not failing.list()


def test_a_model_that_could_not_be_read_again_is_not_kept(store: ModelStore) -> None:
    with pytest.raises(Corrupt):
        store.put(msgspec.structs.replace(small_artefact(), inputs=()))
    assert not store.list()


def test_trees_are_packed_little_endian() -> None:
    packed = small_trees().packed()
    assert packed.feature == b"\x00\x00\x00\x00\x01\x00\x00\x00"
    assert packed.threshold == struct.pack("<2d", 0.5, -1.0)
    assert isinstance(small_artefact().model(), Trees)
