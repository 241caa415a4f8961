"""The process that runs one net for a server: `python -m instanter.ops.attention.serving SOCKET`, begun by the pool.

It is given the graph first. A question is the items acted on last, so many, and candidates, all int32, little endian;
the answer is float32. It ends itself where the server is gone, where the graph does not run, and where a question takes
too long. It has no rights beyond the server's, and no use for them: it opens no file but what its libraries load.
"""

from __future__ import annotations

import resource
import signal
import socket
import struct
import sys
from typing import Final

import numpy as np

from ...foundation.limits import MODEL_BYTES_MAX, NET_JOB_S_MAX, NET_LOAD_S_MAX, NET_MEMORY_MB_MAX
from ..pool import receive, send
from .running import run, session_of

HEAD: Final = struct.Struct("<I")
"""How many items were acted on last."""
_MIB: Final = 1_048_576


def main(descriptor: int) -> None:
    """Answer until the other end is gone."""
    signal.alarm(NET_LOAD_S_MAX)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (NET_MEMORY_MB_MAX * _MIB, hard))
    connection = socket.socket(fileno=descriptor)
    session = session_of(receive(connection, MODEL_BYTES_MAX))
    while True:
        signal.alarm(0)
        question = receive(connection, MODEL_BYTES_MAX)
        signal.alarm(NET_JOB_S_MAX)
        (count,) = HEAD.unpack_from(question)
        numbers = np.frombuffer(question, "<i4", offset=HEAD.size).astype(np.int32)
        send(connection, run(session, numbers[:count], numbers[count:]).astype("<f4").tobytes())


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]))
    except ConnectionError:
        sys.exit(0)
