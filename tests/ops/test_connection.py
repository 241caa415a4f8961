"""The commands' connection to a server: what is asked after a rest finds an answer, also where the server hung up."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from instanter.foundation.errors import Unavailable
from instanter.ops.cli.connection import Connection

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Server:
    """Answers so many requests on each connection, and hangs up when it is asked once more."""

    def __init__(self, *answers: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, args=(answers,))
        self.asked = 0
        self._thread.start()

    def _serve(self, answers: tuple[int, ...]) -> None:
        for count in answers:
            connection, _ = self._listener.accept()
            with connection:
                for place in range(count + 1):
                    if not connection.recv(65_536):
                        break
                    self.asked += 1
                    if place < count:
                        connection.sendall(ANSWER)

    def close(self) -> None:
        self._listener.close()
        self._thread.join()


@pytest.fixture
def connection_to() -> Iterator[object]:
    opened: list[tuple[Server, Connection]] = []

    def to(*answers: int) -> tuple[Server, Connection]:
        server = Server(*answers)
        opened.append((server, Connection(f"http://127.0.0.1:{server.port}")))
        return opened[-1]

    yield to
    for server, connection in opened:
        connection.close()
        server.close()


def test_a_server_that_hung_up_meanwhile_is_asked_once_more(connection_to) -> None:
    server, connection = connection_to(1, 2)
    assert [connection.call("GET", "/v1/x", reply=dict[str, int]) for _ in range(3)] == [{}, {}, {}]
    assert server.asked == 4


def test_a_server_that_never_answers_is_asked_no_more(connection_to) -> None:
    server, connection = connection_to(0)
    with pytest.raises(Unavailable, match="no answer"):
        connection.call("GET", "/v1/x", reply=dict[str, int])
    assert server.asked == 1


def test_who_hangs_up_again_is_not_asked_a_third_time(connection_to) -> None:
    server, connection = connection_to(1, 0)
    connection.call("GET", "/v1/x", reply=dict[str, int])
    with pytest.raises(Unavailable, match="no answer"):
        connection.call("GET", "/v1/x", reply=dict[str, int])
    assert server.asked == 3
