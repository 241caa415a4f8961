"""A client for application servers: events in, decisions out, over HTTP. Needs httpx and msgspec, not the server.

    with Client("http://127.0.0.1:8080", key="...") as client:
        client.track("Product Viewed", {"product_id": "sku-1"}, user_id="u1")
        decision = client.decide(["home.hero"], user_id="u1", fallback={"home.hero": ["sku-9"]})

`AsyncClient` has the same methods to be awaited, `@instanter/client` (`web/client`) has them for Node. What can go
wrong is one tree, see `errors`.
"""

from .asked import Candidate, Placement
from .asynchronous import AsyncClient
from .buffers import AsyncBuffer, Buffer
from .errors import (
    BufferFull,
    ClientError,
    Misunderstood,
    NotSent,
    Refused,
    TimedOut,
    Unavailable,
    Unreachable,
)
from .events import Alias, Event, Group, Identify, Page, Screen, Track
from .replies import (
    Completion,
    CompletionReply,
    ConsentReply,
    DecisionReply,
    DeletionReply,
    Erasure,
    ExcludedItem,
    Item,
    ItemChange,
    ItemPage,
    ItemsReply,
    ItemWarning,
    Job,
    PlacementReply,
    Profile,
    RankedItem,
    RankReply,
    Readiness,
    RejectedEvent,
    RejectedItem,
    Replay,
    TrackReply,
    Warned,
    WarnedEvents,
)
from .sync import Client
from .user_tokens import user_token

__all__ = [
    "Alias", "AsyncBuffer", "AsyncClient", "Buffer", "BufferFull", "Candidate", "Client", "ClientError", "Completion",
    "CompletionReply", "ConsentReply", "DecisionReply", "DeletionReply", "Erasure", "Event", "ExcludedItem", "Group",
    "Identify", "Item", "ItemChange", "ItemPage", "ItemWarning", "ItemsReply", "Job", "Misunderstood", "NotSent",
    "Page", "Placement", "PlacementReply", "Profile", "RankReply", "RankedItem", "Readiness", "Refused",
    "RejectedEvent", "RejectedItem", "Replay", "Screen", "TimedOut", "Track", "TrackReply", "Unavailable",
    "Unreachable", "Warned", "WarnedEvents", "user_token",
]  # fmt: skip
