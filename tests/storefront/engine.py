"""A stand-in for the engine behind a shop's server: it answers as the API says, and notes what it was asked."""

import json

import httpx

PROFILE = {
    "id": "anonymous:v_0123456789012345678901", "linked": [], "known": True, "inSession": True, "segments": [],
    "consent": {"personalization": True}, "position": "7",
    "features": {
        "views": 3.0, "searches": 0.0, "orders": 0.0, "last_seen": 4.2, "session_price": 402.4,
        "session_styles": [{"name": "mid-century", "score": 6.0}, {"name": "rustic", "score": 3.0}],
        "session_items": [{"name": "sku-0001", "atMs": 2}, {"name": "gone", "atMs": 1}],
        "cart_items": [], "wishlist_items": None,
    },
}  # fmt: skip
RECEIPT = {
    "decisionId": "d_1", "atMs": 1_767_225_600_000, "position": "9", "epoch": 3, "degraded": [],
    "placements": {"home.recommended": {
        "servedBy": "personal", "model": "linear@1", "candidates": 200,
        "items": [{"id": "sku-0002", "position": 1, "propensity": 1.0},
                  {"id": "<b>gone</b>", "position": 2, "propensity": 0.95}]}},
}  # fmt: skip


class FakeEngine:
    """`answers` maps (method, path) to (status, body); the rest is as of an engine in order."""

    def __init__(self, *, down=False):
        self.asked = []
        self.answers = {}
        self.down = down
        self.stock = None
        """What the catalogue says of every item; None: it has none of them."""

    def transport(self):
        return httpx.MockTransport(self.answer)

    def answer(self, request):
        if self.down:
            raise httpx.ConnectError("refused", request=request)
        body = json.loads(request.content) if request.content else None
        self.asked.append((request.method, request.url.path, body, dict(request.headers)))
        status, reply = self.answers.get((request.method, request.url.path), (0, None)) or (0, None)
        if not status:
            status, reply = self.usual(request.method, request.url.path, body)
        return httpx.Response(status, json=reply)

    def usual(self, method, path, body):
        match method, path.split("/")[1:]:
            case "GET", ["v1", "profiles", _]:
                return 200, PROFILE
            case "GET", ["v1", "decisions", "d_1"]:
                return 200, RECEIPT
            case "POST", ["v1", "decisions", "d_1", "replay"]:
                return 200, {"decisionId": "d_1", "identical": True, "differences": []}
            case "GET", ["v1", "items", _]:
                return (200, {"id": "x", "fields": {"stock": self.stock}}) if self.stock is not None else (404, {})
            case "PATCH", ["v1", "items", _]:
                self.stock = body["fields"]["stock"]
                return 200, {"accepted": 1, "position": "8"}
            case "POST", ["v1", "batch"]:
                return 200, {"success": True, "accepted": len(body["batch"]), "rejected": [], "position": "9"}
            case "POST", ["v1", "decide"]:
                asked = body["placements"][0]
                ids = list(asked.get("candidates") or [f"sku-{n:04d}" for n in range(1, 200)])[:asked["limit"]]
                return 200, {"decisionId": "d_1", "placements": {asked["id"]: {"items": [{"id": one} for one in ids]}}}
        return 404, {"error": {"code": "unknown", "message": "there is none"}}
