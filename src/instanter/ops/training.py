"""Training a placement's ranker from a data directory: once, or again and again with a gate before each takeover."""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, Literal

import msgspec

from ..decisions.decide import Decider
from ..engine.configuration import Configuration
from ..engine.joining import Joined, Joining, ListsWanted, before_the_log
from ..engine.next_acts import NextAct
from ..engine.recovery import Progress
from ..engine.training import Counts, Gathered, Gathering
from ..events.bodies import meant_of
from ..features.carriers import carriers
from ..foundation.clock import SystemClock, elapsed_ns
from ..foundation.disk import write_whole
from ..foundation.errors import InstanterError, RequestRejected
from ..foundation.limits import HISTORY_BYTES_MAX, HISTORY_LINES_MAX
from ..models.artefact import Artefact, Window
from ..models.attention_training import NetOptions, attention_model, later_from_ms
from ..models.dataset import Dataset
from ..models.gate import GateVerdict, judge
from ..models.plain_orders import plain_orders
from ..models.trained import scored_by_list, scores_of
from ..models.training import NEXT_ACTS_OPTIONS, Origin, TrainingOptions, train
from ..state.compiled import Reals
from .attention.fitting import LENGTH, check_learning, fitted
from .attention.running import NetsHere
from .datadir import DataDirectory
from .reading import Reading
from .settings import Config
from .wiring import configuration_of, rewards_of

NEWEST_SHARE: Final = 0.1
"""Of the lists, for the gate: the model does not see them."""
HISTORY: Final = "history.ndjson"
REWARDED_ENOUGH: Final = 2_000
"""Lists that somebody acted on: from so many on they alone say what is best to show."""
ACTS_LEAST: Final = 1_000
"""Acts of people: fewer say too little about what they do next."""

ACTS_FEWEST: Final = 20
"""... and of fewer nothing is learned, whoever asks for it."""

Examples = Literal["auto", "lists", "next_acts"]
"""What is learned from: lists that were shown, or what people did next; auto takes lists where there are enough."""


class TrainReport(msgspec.Struct, frozen=True, rename="camel"):
    """What training made."""

    model: str
    """As receipts and `PUT /v1/models/{placement}` name it."""
    tenant: str
    placement: str
    lists: int
    rows: int
    counts: Counts
    unreadable: int
    """Decisions of erased people, and older than receipts are kept."""
    metrics: dict[str, float]
    parent: str
    at_ms: int
    seconds: float
    joining_s: float
    gathering_s: float
    training_s: float
    verdict: GateVerdict | None = None
    """Of the gate, where one was asked for."""
    placed: bool = False


class Job(msgspec.Struct, frozen=True):
    """What is to be trained."""

    tenant: str
    placement: str
    chosen: Mapping[str, object]
    """Options of the training, by name; the others are the defaults of what is learned from."""
    examples: Examples = "auto"
    gated: bool = False
    incumbent: str = ""
    """The model that ranks now, "" for the built-in ranker; what a candidate is measured against."""


def trained(read: Reading, config: Config, job: Job, progress: Progress | None = None) -> TrainReport:
    """Train a model and keep it; with a gate also measure it on the newest lists, which it has not seen.

    Raises `RequestRejected` where there is no such placement or too little to learn from.
    """
    configuration = configuration_of(config)
    kinds = {known.id: known.kind for known in config.placements}
    if job.placement not in kinds:
        raise RequestRejected(
            "unknown_placement", f'there is no placement "{job.placement}"{meant_of(job.placement, list(kinds))}')
    reorders = kinds[job.placement] == "rerank"
    if reorders and job.examples == "next_acts":
        raise RequestRejected("bad_option", f'"{job.placement}" orders lists of others: it learns from lists alone')
    acts = frozenset[str]() if reorders else acts_of(config)
    net_options = _net_options(job, reorders=reorders)
    wanted = ListsWanted(
        job.tenant, job.placement, lists=reorders, acts=acts, paths=net_options is not None
    )  # fmt: skip
    before = before_the_log(read.log, read.directory.disk, read.directory.checkpoints)
    joining = Joining(read.log, read.subjects, rewards_of(config), wanted, before)
    marks_ns = [elapsed_ns()]
    with tempfile.TemporaryDirectory(prefix="instanter-train-") as folder:
        joined = list(joining.examples(SystemClock().now_ms()))
        marks_ns.append(elapsed_ns())
        name = read.configurations.keep(configuration)
        gathering = Gathering(read.replay, read.log, read.subjects, configuration=name, placement=job.placement)
        rows, next_acts = Path(folder) / "rows", joining.next_acts.newest()
        options = TrainingOptions() if net_options is not None else options_of(job.chosen)
        if net_options is not None or _learns_from_acts(job, joined, next_acts):
            if net_options is None:
                options = options_of({**NEXT_ACTS_OPTIONS, **job.chosen})
            gathered = _gathered_next(gathering, next_acts, rows, progress)
        else:
            if not joined and joining.waiting:
                raise RequestRejected("no_examples", _waiting(joining.waiting, job, config))
            gathered = gathering.gather(joined, rows, progress)
        marks_ns.append(elapsed_ns())
        seen, newest = gathered.dataset, None
        if job.gated:
            seen, newest = seen.split(at_share=1.0 - NEWEST_SHARE)
        origin = _origin(configuration, job, gathered)
        if net_options is None:
            artefact = train(seen, options, origin)
        else:
            artefact = _with_net(seen, net_options, origin, joining, gathering.names(job.tenant))
        _make_room(read, joining)
        model_id = read.models.put(artefact)
        verdict = None if newest is None else _verdict(read, job, name, artefact, newest)
        marks_ns.append(elapsed_ns())
    joining_s, gathering_s, training_s = (round((end - begin) / 1e9, 3) for begin, end in pairwise(marks_ns))
    return TrainReport(
        f"{artefact.kind}@{model_id}", job.tenant, job.placement, artefact.lists, artefact.rows, gathered.counts,
        joining.unreadable, artefact.metrics, origin.parent, SystemClock().now_ms(),
        round(joining_s + gathering_s + training_s, 3), joining_s, gathering_s, training_s, verdict,
    )  # fmt: skip


def _gathered_next(
    gathering: Gathering, acts: Sequence[NextAct], rows: Path, progress: Progress | None
) -> Gathered:
    """Rows of what people did next; `RequestRejected` where they are too few."""
    if not acts:
        raise RequestRejected("no_examples", "nobody acted on an item yet")
    gathered = gathering.gather_next(acts, rows, progress)
    if len(gathered.dataset) < ACTS_FEWEST:
        raise RequestRejected("no_examples", f"{len(gathered.dataset)} acts are too few to learn from")
    return gathered


def _net_options(job: Job, *, reorders: bool) -> NetOptions | None:
    """How a net is to be learned, None where none is; `RequestRejected` and `ConfigRejected` before anything is
    read."""
    if job.chosen.get("kind") != "attention":
        return None
    if reorders or job.examples == "lists":
        raise RequestRejected("bad_option", "a net learns from what people did next, not from lists that were shown")
    options = net_options_of(job.chosen)
    check_learning()
    return options


def _with_net(
    seen: Dataset, options: NetOptions, origin: Origin, joining: Joining, name_of: Callable[[int], str | None]
) -> Artefact:
    """The model of a net that has learned what people did before the lists that it is measured on."""
    until_ms = later_from_ms(seen, options)
    windows = joining.paths.windows(until_ms=until_ms, length=LENGTH, name_of=name_of)
    net = fitted(windows, options)
    return attention_model(seen, options, origin, net.attention, NetsHere(), net.libraries)


def net_options_of(chosen: Mapping[str, object]) -> NetOptions:
    """As `options_of`, for a net."""
    try:
        return msgspec.convert(chosen, NetOptions, strict=False)
    except msgspec.ValidationError as error:
        raise RequestRejected("bad_option", f"--set: {error}") from None


def options_of(chosen: Mapping[str, object]) -> TrainingOptions:
    """Options by name, numbers also as text; `RequestRejected` for what is none."""
    try:
        return msgspec.convert(chosen, TrainingOptions, strict=False)
    except msgspec.ValidationError as error:
        raise RequestRejected("bad_option", f"--set: {error}") from None


def acts_of(config: Config) -> frozenset[str]:
    """Names of the events by which people act on items: what the features that keep items of people hear."""
    carrier = carriers(config.features).get("item_views", "")
    heard = {name for feature in config.features if feature.name == carrier for name in feature.on}
    return frozenset(heard)


def _learns_from_acts(job: Job, joined: Sequence[Joined], acts: Sequence[NextAct]) -> bool:
    if job.examples != "auto":
        return job.examples == "next_acts"
    rewarded = sum(any(reward > 0.0 for reward in one.example.rewards) for one in joined)
    return rewarded < REWARDED_ENOUGH and len(acts) >= ACTS_LEAST


def _waiting(lists: int, job: Job, config: Config) -> str:
    feedback = config.feedback
    return (f'{lists} lists of "{job.placement}" wait for their outcomes: a list is learned from when '
            f"feedback.window_min ({feedback.window_min}) and feedback.delay_s ({feedback.delay_s}) are over")


def _make_room(read: Reading, joining: Joining) -> None:
    """For one more model: those go first that have never ranked, and never one that ranks or stands in now."""
    standing = {model for placed in joining.in_charge.values() for model in (placed.model, placed.stand_in)}
    keep, spare = ({model.partition("@")[2] for model in models} for models in (standing, joining.ranked))
    read.models.prune(keep, spare=spare)


def _origin(configuration: Configuration, job: Job, gathered: Gathered) -> Origin:
    """What is the same wherever the same events come to the same examples: no clock, and no position of a log."""
    window = Window(from_ms=gathered.from_ms, to_ms=gathered.to_ms + 1)
    return Origin(
        tenant=job.tenant, placement=job.placement, configuration=configuration.name,
        made_ms=window.to_ms, window=window, parent=job.incumbent.partition("@")[2],
        versions={column.name: column.version for column in gathered.columns},
    )  # fmt: skip


def _verdict(read: Reading, job: Job, configuration: str, artefact: Artefact, newest: Dataset) -> GateVerdict:
    decider, _ = read.replay.footing(configuration)
    plain = plain_orders(newest, decider.assembler.carriers)
    return judge(newest, scores_of(artefact, newest, NetsHere()), _incumbent(read, job, decider, newest), plain)


def _incumbent(read: Reading, job: Job, decider: Decider, newest: Dataset) -> Reals:
    """What ranks now would have said; the built-in ranker where the model in charge cannot be read."""
    try:
        if job.incumbent:
            return scores_of(read.models.get(job.incumbent.partition("@")[2]), newest, NetsHere())
    except InstanterError:
        pass
    return scored_by_list(decider.asked(job.placement).spot.ranker, decider.assembler.columns, newest)


def remember(directory: DataDirectory, report: TrainReport) -> None:
    """Add a line to what was trained and what became of it; the newest lines are kept, within their bounds."""
    disk, path = directory.disk, directory.models / HISTORY
    lines = deque([*history(directory), msgspec.json.encode(report)], maxlen=HISTORY_LINES_MAX)
    while len(lines) > 1 and sum(len(line) + 1 for line in lines) > HISTORY_BYTES_MAX:
        lines.popleft()
    write_whole(disk, path, b"\n".join(lines) + b"\n")


def history(directory: DataDirectory) -> Sequence[bytes]:
    """The lines of `remember`, oldest first."""
    disk, path = directory.disk, directory.models / HISTORY
    if HISTORY not in disk.list(directory.models):
        return ()
    return disk.read(path, 0, disk.size(path)).splitlines()
