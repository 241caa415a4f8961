"""`GET /v1/trained-models`: what was trained, and where it ranks now."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from instanter.api.models import TrainedModel, VerdictShown
from instanter.api.tenancy import Terms

from ..engine.rankers import Shelf
from .client import Client, with_client

HOME = "home.recommended"


class Trained:
    """A registry of two models; they are the tenant `default`'s."""

    def trained(self, tenant: str) -> Sequence[TrainedModel]:
        if tenant != "default":
            return ()
        verdict = VerdictShown(True, "as good as what ranks now, or better", 80, 0.02, -0.01, 0.05)
        new = TrainedModel(
            model="plain@2", placement=HOME, trained_at="2026-05-01T10:00:00.000Z", seen_from=None, seen_until=None,
            lists=900, rows=9_000, metrics={"ndcg_10": 0.61, "ndcg_10_as_shown": 0.55, "calibration_error": 0.013},
            verdict=verdict, took_over=True, kept=True, size_bytes=70_000, damage="",
        )  # fmt: skip
        return [new, TrainedModel(
            model="plain@1", placement=HOME, trained_at=None, seen_from="2026-03-01T00:00:00.000Z",
            seen_until="2026-04-01T00:00:00.000Z", lists=0, rows=0, metrics={}, verdict=None, took_over=False,
            kept=True, size_bytes=100, damage="",
        )]  # fmt: skip


def test_trained_models_are_told_with_where_they_rank(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        own = await client.key("models:read", "models:write")
        other = await client.key("models:read", tenant="two")
        for model in ("plain@1", "plain@2"):
            await client.call("PUT", f"/v1/models/{HOME}", {"model": model}, headers=own.headers)
        told = (await client.get("/v1/trained-models", headers=own.headers)).json()
        assert [(one["model"], one["inChargeOf"], one["standsInFor"]) for one in told["models"]] == [
            ("plain@2", [HOME], []), ("plain@1", [], [HOME])]  # fmt: skip
        assert told["models"][0]["verdict"]["difference"] == 0.02
        assert HOME in told["placements"]
        assert (await client.get("/v1/trained-models", headers=other.headers)).json()["models"] == []

    with_client(tmp_path, work, terms=Terms(key_requests_per_s=1_000_000), models=Shelf("plain@1", "plain@2"),
                registry=Trained())  # fmt: skip
