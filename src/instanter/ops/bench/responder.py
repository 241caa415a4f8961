"""The cheapest server there is: answers every request with the same few bytes. It shows what the client can send.

Run as `python -m instanter.ops.bench.responder PORT`; ended by its parent.
"""

from __future__ import annotations

import socket
import sys
from socketserver import BaseRequestHandler, ThreadingTCPServer

from .load import HOST

REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
_RECEIVE_BYTES = 256 * 1024
_LENGTH = b"Content-Length: "


class _Conversation(BaseRequestHandler):
    """One connection: reads a head and as many bytes as it announces, answers, and so on."""

    def handle(self) -> None:
        connection: socket.socket = self.request
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        received = b""
        while part := connection.recv(_RECEIVE_BYTES):
            received += part
            end = received.find(b"\r\n\r\n")
            if end < 0:
                continue
            at = received.index(_LENGTH) + len(_LENGTH)
            missing = int(received[at : received.index(b"\r", at)]) - (len(received) - end - 4)
            while missing > 0:
                missing -= len(connection.recv(_RECEIVE_BYTES))
            connection.sendall(REPLY)
            received = b""


class _Responder(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64


if __name__ == "__main__":
    with _Responder((HOST, int(sys.argv[1])), _Conversation) as responder:
        responder.serve_forever()
