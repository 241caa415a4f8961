"""Every bound of the client. The server has its own; what it refuses is raised with its words."""

from __future__ import annotations

EVENT_BYTES_MAX = 32 * 1024
"""Of one event in a buffer; the server takes no larger one."""
BATCH_EVENTS_MAX = 500
"""Events that a buffer sends at once."""
BATCH_BYTES_MAX = 400 * 1024
"""Likewise in bytes."""
BUFFERED_EVENTS_MAX = 10_000
"""Events that a buffer holds, those included that were refused and nobody has been told of yet."""
ANSWER_BYTES_MAX = 64 * 1024 * 1024
"""Of an answer that is read as a whole."""
LINE_BYTES_MAX = 16 * 1024 * 1024
"""Of a line of an export."""
ATTEMPTS_MAX = 10
"""How often one call is sent."""
REFUSAL_CHARS_MAX = 200
"""Of an answer that is none of ours, what an error shows."""
TOKEN_LIFETIME_S_MAX = 24 * 3_600
"""Of a user token; the server believes none that holds longer."""
