"""Whether this machine can serve: one function a question. Each asks the machine itself and leaves it as it was."""

from __future__ import annotations

import errno
import fcntl
import importlib.util
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

from ..events.kinds import canonical_name, nearest_name
from ..events.meanings import BY_NAME
from ..features.declaration import EVERYTHING
from ..foundation.clock import elapsed_ns
from ..foundation.disk import RealDisk
from ..foundation.errors import ConfigRejected
from ..foundation.limits import FILES_RESERVED
from ..state.compiling import can_keep, kernel_folder, kernel_places
from .datadir import DataDirectory
from .losses import why_refused
from .serving import open_files_max
from .settings import Config
from .wiring import load_checked, weights_without_effect

_MIB: Final = 1024 * 1024
_GIB: Final = 1024 * _MIB
PYTHON_MIN: Final = (3, 11)
FREE_BYTES_ADVISED: Final = 5 * _GIB
SYNC_SAMPLES: Final = 200
SYNC_BYTES: Final = 300
SYNC_P99_MS_ADVISED: Final = 20.0
EXTRAS: Final = {"geo": "maxminddb", "parquet": "pyarrow", "text": "wordllama", "torch": "torch"}
"""Extras of the package, and the module that each brings."""


class Check(msgspec.Struct, frozen=True):
    """One question answered. `advice` is what to do about it, empty where all is well."""

    name: str
    status: Literal["ok", "warn", "fail"]
    found: str
    advice: str = ""


def python_version(version: Sequence[int] = sys.version_info[:3]) -> Check:
    """Whether the interpreter is new enough."""
    found = ".".join(str(part) for part in version)
    if tuple(version[:2]) < PYTHON_MIN:
        return Check("python", "fail", found, "needs Python {}.{} or newer".format(*PYTHON_MIN))
    return Check("python", "ok", found)


def configuration(path: Path | None) -> tuple[Check, Config]:
    """Whether the configuration can be used; the defaults stand in for one that cannot."""
    try:
        config = load_checked(path)
    except ConfigRejected as error:
        return Check("configuration", "fail", "cannot be used", str(error)), Config()
    what = f"{path or 'built-in defaults'}: {len(config.features)} features, {len(config.placements)} placements"
    if remarks := "; ".join(filter(None, (_unusual_names(config), _idle_weights(config)))):
        return Check("configuration", "warn", what, remarks), config
    return Check("configuration", "ok", what), config


def _unusual_names(config: Config) -> str:
    """Event names that features hear and that neither the contract nor the configuration knows, and names that events
    are mapped to and no feature hears: perhaps misspelt."""
    mapped = set(config.events.names.values())
    heard = {name for feature in config.features for name in (*feature.on, *feature.takes_back)}
    own = sorted(name for name in heard - mapped - {EVERYTHING} if canonical_name(name) not in BY_NAME)
    unheard = sorted(name for name in mapped - heard if canonical_name(name) not in BY_NAME)
    parts = ["features hear event names of your own: " + ", ".join(_meant(name, mapped) for name in own)] if own else []
    if unheard:
        parts.append("events are mapped to names that no feature hears: " + ", ".join(f'"{name}"' for name in unheard))
    return "; ".join(parts)


def _idle_weights(config: Config) -> str:
    idle = weights_without_effect(config)
    return f"weights that add the same to every candidate change no list: {', '.join(idle)}" if idle else ""


def _meant(name: str, others: Iterable[str]) -> str:
    close = nearest_name(name, others)
    return f'"{name}" (did you mean "{close}"?)' if close else f'"{name}"'


def disk_room(folder: Path, segment_mb: int) -> Check:
    """Whether the disk under the data folder has room to work."""
    free = shutil.disk_usage(nearest_existing(folder)).free
    found = f"{free / _GIB:.1f} GiB free"
    if free < 4 * segment_mb * _MIB:
        return Check("disk room", "fail", found, f"room for four segments of {segment_mb} MB is the least")
    if free < FREE_BYTES_ADVISED:
        return Check("disk room", "warn", found, "ingest is refused with 507 once the disk is full")
    return Check("disk room", "ok", found)


def disk_sync(folder: Path) -> Check:
    """Whether the data folder can be written and synced, and how long a sync takes: every acknowledgement waits."""
    where = nearest_existing(folder)
    try:
        took_ms = _timed_syncs(where)
    except OSError as error:
        return Check("disk sync", "fail", f"{where}: {error.strerror}", "choose a folder that can be written")
    p50, p99 = _quantile(took_ms, 0.50), _quantile(took_ms, 0.99)
    found = f"fdatasync p50 {p50:.2f} ms, p99 {p99:.2f} ms"
    if p99 > SYNC_P99_MS_ADVISED:
        return Check("disk sync", "warn", found, "events are acknowledged only after a sync; a faster disk helps")
    return Check("disk sync", "ok", found)


def _timed_syncs(folder: Path) -> list[float]:
    took_ms = []
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        for _ in range(SYNC_SAMPLES):
            started_ns = elapsed_ns()
            file.write(bytes(SYNC_BYTES))
            os.fdatasync(file.fileno())
            took_ms.append((elapsed_ns() - started_ns) / 1_000_000)
    return sorted(took_ms)


def _quantile(ascending: Sequence[float], share: float) -> float:
    return ascending[min(int(len(ascending) * share), len(ascending) - 1)]


def log_folder(folder: Path) -> Check:
    """Whether the log in the data folder, if there is one, can be read and is free to be opened."""
    log = folder / "log"
    if not log.is_dir():
        return Check("log", "ok", f"none yet in {folder}")
    unreadable = next((path for path in sorted(log.iterdir()) if not os.access(path, os.R_OK | os.W_OK)), None)
    if unreadable is not None:
        return Check("log", "fail", f"{unreadable} cannot be opened", "let the user that serves own the data folder")
    size = sum(path.stat().st_size for path in log.iterdir())
    if is_locked(log / "lock"):
        return Check("log", "warn", f"{size / _MIB:.1f} MB, in use", "a server is running on this folder")
    return Check("log", "ok", f"{size / _MIB:.1f} MB, free to be opened")


def data_directory(config: Config, folder: Path) -> Check:
    """Whether a start would open the data directory, if there is one, as far as can be told without opening it."""
    directory = DataDirectory(RealDisk(), folder, keys=config.privacy.keys)
    if not (folder.exists() and directory.disk.list(folder)):
        return Check("data directory", "ok", f"none yet in {folder}")
    try:
        refusals = why_refused(directory, serving=is_locked(directory.log / "lock"))
    except OSError as error:
        refusals = [f"{error.filename or folder}: {error.strerror}"]
    if refusals:
        return Check("data directory", "fail", "a start would refuse it", "; ".join(refusals))
    return Check("data directory", "ok", "a start would take it" if directory.installation else (
        "its first start writes down whose keys open it"
    ))


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock file at `path`; it stays free for whoever wants it next."""
    if not path.exists():
        return False
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def memory(memory_mb: int, machine_mb: int | None = None) -> Check:
    """Whether the machine, or the container around us, has the memory that the configuration asks for."""
    has_mb = _machine_mb() if machine_mb is None else machine_mb
    found = f"{has_mb} MB, {memory_mb} of them for the program"
    if has_mb < memory_mb + memory_mb // 10:
        return Check("memory", "warn", found, "lower state.memory_mb; the program may take a tenth more")
    return Check("memory", "ok", found)


def _machine_mb() -> int:
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.exists() else "max"
    return (min(machine, int(text)) if text.isdigit() else machine) // _MIB


def open_files(connections_max: int, limit: int | None = None) -> Check:
    """Whether the process may open enough files for the connections it may have; a start raises its own limit."""
    files = open_files_max() if limit is None else limit
    found = f"{files} at once, {connections_max} connections"
    if files < connections_max + FILES_RESERVED:
        wanted = connections_max + FILES_RESERVED
        return Check("open files", "warn", found, f"lower serve.connections_max, or raise it: ulimit -Hn {wanted}")
    return Check("open files", "ok", found)


def kernel_cache(places: Sequence[Path] | None = None) -> Check:
    """Whether compiled kernels can be kept, so that only the first start compiles. Where is what the server says."""
    folder = kernel_folder(kernel_places() if places is None else places)
    if folder is None:
        return Check("kernel cache", "warn", "nowhere to write", "every start compiles anew; set NUMBA_CACHE_DIR")
    if not can_keep(folder):
        advice = "what is not there yet is compiled at every start; set NUMBA_CACHE_DIR"
        return Check("kernel cache", "warn", f"in {folder}, which can be read only", advice)
    return Check("kernel cache", "ok", f"in {folder}")


def extras(config: Config) -> Check:
    """Which optional parts are installed, and whether the configuration needs one that is not."""
    missing = [name for name, module in EXTRAS.items() if importlib.util.find_spec(module) is None]
    found = ", ".join(f"{name} {'not installed' if name in missing else 'installed'}" for name in EXTRAS)
    database = config.geo.database
    if database and "geo" in missing:
        return Check("extras", "fail", found, "geo.database is set: pip install 'instanter[geo]'")
    if database and not Path(database).is_file():
        return Check("extras", "fail", f"there is no {database}", "set geo.database to a file, or leave it empty")
    return Check("extras", "ok", found)


def free_port(host: str, port: int, *, serving: bool) -> Check:
    """Whether a server could listen there; taken is as it should be while one is `serving` from the same folder."""
    where = f"{host}:{port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            advice = "the running server has it" if serving else "another program listens there; choose another --port"
            return Check("port", "warn" if serving else "fail", f"{where} is taken", advice)
        return Check("port", "fail", f"{where}: {error.strerror}", "choose another --host or --port")
    return Check("port", "ok", f"{where} is free")


def nearest_existing(folder: Path) -> Path:
    """The folder itself, or the nearest one above it that is there."""
    place = folder.absolute()
    while not place.is_dir() and place != place.parent:
        place = place.parent
    return place
