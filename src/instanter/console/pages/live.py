"""Live: how the server does, second by second, over the last hour; and what was decided and refused just now."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from ..views import Page, Visit, Way

_NONE_YET: Final = "9" * 16
"""After all samples there are: asked with this, the API says whether it may be asked at all, and by what to measure."""
STREAMED: Final = ("decision", "refusal")
STAGES: Final = (
    ("wait", "its turn, the loop, reading the question"), ("events", "taking what came with it, onto disk"),
    ("person", "finding them, from disk if need be"), ("context", "reading them"), ("candidates", "finding items"),
    ("eligibility", "ruling out"), ("features", "inputs of the ranker"), ("score", "the ranker"),
    ("arrange", "order and variety"), ("policy", "drawing a place"), ("receipt", "writing down how it came about"),
    ("reply", "putting the answer together"), ("seal", "sealing the receipt, to the log"),
)  # fmt: skip
"""What a decision spends its time on, in the order in which it does."""


async def show(visit: Visit) -> Response:
    """The frame; samples and entries are fetched by `live.js`."""
    told = await visit.ask.get("/v1/live", {"since": _NONE_YET})
    streams = (await visit.ask.call("HEAD", "/v1/stream")).status == 200
    return visit.render("live.html", deadline_ms=told["deadlineMs"], streams=streams, stages=STAGES)


async def samples(visit: Visit) -> Response:
    """The samples after a time, as the API has them."""
    return visit.ask.handed_on("/v1/live", {"since": visit.query.get("since", "0")}, accept="application/json")


async def entries(visit: Visit) -> Response:
    """Decisions and refusals as they come."""
    return visit.ask.handed_on("/v1/stream", {"kinds": ",".join(STREAMED)}, accept="text/event-stream")


PAGE: Final = Page(
    title="Live", path="/console/live", group="Now", scope="metrics:read", of_operator=True, show=show,
    ways=(Way("GET", "/samples", samples), Way("GET", "/entries", entries)),
)  # fmt: skip
