"""What becomes of a model that a job has trained: in charge if the gate lets it, remembered in any case."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import msgspec

from ...api.jobs import Progress, Refusal
from ...engine.loop import Engine
from ...engine.models import TRAINED
from ...foundation.errors import InstanterError
from ...privacy.audit import SERVER
from ..datadir import DataDirectory
from ..training import TrainReport, remember
from .queue import Finished, Order, Run

log = logging.getLogger("instanter.jobs")

TRAIN: Final = "train"
"""The kind of job that trains a placement's ranker."""
_report_in = msgspec.json.Decoder(TrainReport).decode


class PlacingRun:
    """Does jobs as another one does, and puts the models in charge that come of them. The outcome says whether."""

    def __init__(self, run: Run, engine: Engine, directory: DataDirectory) -> None:
        self._run = run
        self._engine = engine
        self._directory = directory

    async def __call__(self, order: Order, on_progress: Callable[[Progress], None]) -> Finished:
        """As `Run`. Raises `OSError` where the history cannot be written."""
        finished = await self._run(order, on_progress)
        if order.kind != TRAIN or isinstance(finished, Refusal):
            return finished
        try:
            report = _report_in(finished)
        except msgspec.MsgspecError:
            return Refusal("failed", "it told of no training")
        became = await self._place(order, report)
        self._engine.meter.count(f"trained.{became}")
        report = msgspec.structs.replace(report, placed=became == "placed")
        log.info("a model was trained", extra={
            "model": report.model, "placement": report.placement, "became": became, "lists": report.lists,
            "seconds": report.seconds, "gate": report.verdict.why if report.verdict else ""})  # fmt: skip
        await asyncio.to_thread(remember, self._directory, report)
        return msgspec.json.encode(report)

    async def _place(self, order: Order, report: TrainReport) -> str:
        """Put it in charge if it passed, and if what it was measured against still ranks; what became of it."""
        if report.verdict is None or not report.verdict.passes:
            return "stopped"
        if in_charge(self._engine, order.tenant, order.subject) != order.incumbent:
            return "overtaken"
        try:
            await self._engine.models.place(
                order.tenant, order.subject, report.model, actor=SERVER, reason=TRAINED,
                keeps_stand_in=not report.verdict.is_better,
            )  # fmt: skip
        except InstanterError as error:
            log.warning("a trained model was not placed", extra={"model": report.model, "reason": str(error)})
            return "refused"
        return "placed"


def in_charge(engine: Engine, tenant: str, placement: str) -> str:
    """The model that ranks a placement now; "" for the built-in ranker."""
    placed = engine.partition.models.get((tenant, placement))
    return placed.model if placed is not None else ""
