"""The models that were trained in a data directory: what `history.ndjson` remembers, and what of it is kept."""

from __future__ import annotations

import threading
from typing import Final

import msgspec

from ..api.models import TrainedModel, VerdictShown
from ..events.times import time_text
from ..models.gate import GateVerdict
from ..models.store import Described, ModelStore
from ..privacy.access import DEFAULT_TENANT
from .datadir import DataDirectory
from .training import TrainReport, history

_report_in: Final = msgspec.json.Decoder(TrainReport).decode


class TrainedModels:
    """The `Registry` of a server. Any thread may ask; one at a time reads."""

    def __init__(self, directory: DataDirectory) -> None:
        self._directory = directory
        self._store = ModelStore(directory.disk, directory.models)
        self._reading = threading.Lock()

    def trained(self, tenant: str) -> list[TrainedModel]:
        """As `Registry.trained`. Reads each model once in the life of this registry, the history each time."""
        with self._reading:
            kept = {one.id: one for one in self._store.list()}
            reports = self._reports()
        named = {report.model.partition("@")[2]: report for report in reports}
        found = [_remembered(report, kept.get(model_id)) for model_id, report in named.items()
                 if report.tenant == tenant]  # fmt: skip
        found.reverse()
        # What nothing can be read of any more is the operator's to look after.
        return found + [_kept(one) for one in kept.values()
                        if one.id not in named and (one.tenant or DEFAULT_TENANT) == tenant]  # fmt: skip

    def _reports(self) -> list[TrainReport]:
        """The trainings that are remembered, the oldest first; a line that is none is passed over."""
        reports = []
        for line in history(self._directory):
            try:
                reports.append(_report_in(line))
            except msgspec.MsgspecError:
                continue
        return reports


def _remembered(report: TrainReport, kept: Described | None) -> TrainedModel:
    seen_from, seen_until = (None, None) if kept is None else _window(kept)
    return TrainedModel(
        model=report.model, placement=report.placement, trained_at=time_text(report.at_ms), seen_from=seen_from,
        seen_until=seen_until, lists=report.lists, rows=report.rows, metrics=report.metrics,
        verdict=None if report.verdict is None else _verdict(report.verdict), took_over=report.placed,
        kept=kept is not None, size_bytes=0 if kept is None else kept.size_bytes,
        damage="" if kept is None else kept.damage,
    )  # fmt: skip


def _kept(one: Described) -> TrainedModel:
    seen_from, seen_until = _window(one)
    return TrainedModel(
        model=f"{one.kind}@{one.id}" if one.kind else one.id, placement=one.placement, trained_at=None,
        seen_from=seen_from, seen_until=seen_until, lists=one.lists, rows=one.rows, metrics=one.metrics, verdict=None,
        took_over=False, kept=True, size_bytes=one.size_bytes, damage=one.damage,
    )  # fmt: skip


def _window(one: Described) -> tuple[str | None, str | None]:
    window = one.window
    return (time_text(window.from_ms), time_text(window.to_ms)) if window.to_ms else (None, None)


def _verdict(verdict: GateVerdict) -> VerdictShown:
    return VerdictShown(
        verdict.passes, verdict.why, verdict.lists, verdict.difference, verdict.low, verdict.high
    )
