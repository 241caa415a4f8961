"""What `GET /metrics` says, in the Prometheus text format. No label holds anything personal."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from ..engine.loop import Engine

QUANTILES = (0.5, 0.99)

STAGES = "instanter_stage_seconds"
"""decode, enrich, append (write and sync of a group), fold (per record), the stages of a decision, freshness
(request to readable), loop_lag, checkpoint."""


class EngineCollector(Collector):
    """Reads an engine's measurements when asked."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        engine = self._engine
        state = engine.partition.state
        yield from self._stages()
        yield self._pauses()
        for name, text, value in (
            ("instanter_log_pending_bytes", "Bytes appended and not yet durable.", engine.journal.pending_bytes),
            ("instanter_unfolded_records", "Records durable and not yet folded.", engine.journal.unfolded),
            ("instanter_people", "Cells known.", state.cells_used),
            ("instanter_people_max", "Cells there is room for.", state.schema.capacity.cells),
            ("instanter_catalogue_items", "Items in the catalogue.", len(state.catalogue.items)),
            ("instanter_links", "Links between cells.", len(engine.partition.links)),
            ("instanter_position", "Position behind the last folded record.", engine.partition.position),
            ("instanter_epoch", "Number of the published epoch.", state.epoch),
        ):
            yield GaugeMetricFamily(name, text, value)
        verdicts = CounterMetricFamily(
            "instanter_events_folded", "Events folded, by what became of them.", labels=["verdict"]
        )
        for verdict, count in state.verdicts.items():
            verdicts.add_metric([verdict], count)
        yield verdicts
        counts = CounterMetricFamily("instanter_happenings", "What was counted, by name.", labels=["what"])
        for what, count in sorted(engine.meter.counts.items()):
            counts.add_metric([what], count)
        yield counts

    def _stages(self) -> Iterator[Metric]:
        stages = SummaryMetricFamily(STAGES, "Seconds by stage.", labels=["stage"])
        quantiles = GaugeMetricFamily(
            f"{STAGES}_recent", "Quantiles of the last half to whole minute.", labels=["stage", "quantile"]
        )
        for stage, histogram in sorted(self._engine.meter.stages.items()):
            stages.add_metric([stage], count_value=histogram.count, sum_value=histogram.total_ns / 1e9)
            for quantile in QUANTILES:
                quantiles.add_metric([stage, str(quantile)], histogram.quantile_ms(quantile) / 1e3)
        yield stages
        yield quantiles

    def _pauses(self) -> Metric:
        pauses = self._engine.pauses
        labels = [*(str(bound / 1_000) for bound in pauses.bounds_ms), "+Inf"]
        buckets = list(zip(labels, map(float, pauses.up_to()), strict=True))
        text = "How long the loop was away when its beat was due."
        return HistogramMetricFamily("instanter_loop_pause_seconds", text, buckets, pauses.total_ns / 1e9)


def render(engine: Engine) -> bytes:
    """The text of `GET /metrics`."""
    registry = CollectorRegistry()
    registry.register(EngineCollector(engine))
    return generate_latest(registry)
