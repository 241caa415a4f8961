"""Models that turn a text into a vector: the one that comes with the extra `text`, and any that lies in a folder.

Nothing is fetched from anywhere: what a package ships inside itself, or lies on this machine, is all that is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from ..foundation.errors import ConfigRejected

Vectors = npt.NDArray[np.float32]

SHIPPED: Final = "wordllama"
"""The package of the extra `text`."""
_TOKENIZER: Final = "tokenizers/l2_supercat_tokenizer_config.json"
_WEIGHTS: Final = "weights/l2_supercat_256.safetensors"
_BATCH: Final = 64


class Encoder(Protocol):
    """Texts in, vectors out: the nearer in meaning, the nearer in direction."""

    @property
    def name(self) -> str:
        """For reports."""
        ...

    @property
    def length(self) -> int:
        """Numbers of a vector."""
        ...

    def encode(self, texts: Sequence[str]) -> Vectors:
        """A row for each text, of length 1; of zeros for one of which nothing is known."""
        ...


def encoder_of(model: str) -> Encoder:
    """`SHIPPED`, or a folder with a model as sentence-transformers saves it. Raises `ConfigRejected` where that is not
    there, or what reads it is not installed."""
    if model != SHIPPED:
        return _SentenceModel(Path(model))
    if any(find_spec(name) is None for name in (SHIPPED, "tokenizers", "safetensors")):
        raise ConfigRejected("the model of the extra `text` is not installed",
                             suggestion='pip install "instanter[text]"')
    return _MeanOfTokens()


class _MeanOfTokens:
    """WordLlama (MIT): the mean of what each token of a text means, 256 numbers, read from the package's own files.
    Its own loader looks for the tokenizer where the package does not put it, and then on the network."""

    def __init__(self) -> None:
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        package = _folder_of(SHIPPED)
        self._tokenizer: Any = Tokenizer.from_file(str(package / _TOKENIZER))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._meanings: Vectors = load_file(str(package / _WEIGHTS))["embedding.weight"].astype(np.float32)
        self.name = SHIPPED
        self.length = self._meanings.shape[1]

    def encode(self, texts: Sequence[str]) -> Vectors:
        vectors = np.zeros((len(texts), self.length), np.float32)
        for row, encoded in enumerate(self._tokenizer.encode_batch(list(texts), add_special_tokens=False)):
            if encoded.ids:
                vectors[row] = self._meanings[encoded.ids].mean(axis=0)
        return _of_length_one(vectors)


class _SentenceModel:
    """Whatever sentence-transformers loads from a folder."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise ConfigRejected(f"there is no folder {folder} with a model",
                                 suggestion=f'give one as sentence-transformers saves it, or "{SHIPPED}"')
        if find_spec("sentence_transformers") is None:
            raise ConfigRejected("a model in a folder is read by sentence-transformers, which is not installed",
                                 suggestion="pip install sentence-transformers")
        from sentence_transformers import SentenceTransformer

        self._model: Any = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        self.name = folder.name
        self.length = int(self._model.encode(["a"]).shape[1])

    def encode(self, texts: Sequence[str]) -> Vectors:
        told = self._model.encode(list(texts), batch_size=_BATCH, show_progress_bar=False, convert_to_numpy=True)
        return _of_length_one(np.asarray(told, np.float32))


def _folder_of(package: str) -> Path:
    """Where the files of an installed package lie, without importing it."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def _of_length_one(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: Vectors = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0.0)
    return found
