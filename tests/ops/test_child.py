"""A server of our own as a child process: only that one is asked."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from instanter.foundation.errors import Unavailable
from instanter.ops.child import ChildServer


def test_a_port_on_which_somebody_else_listens_is_refused_before_anything_is_sent_there(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(Unavailable, match=f"cannot listen on 127.0.0.1:{port}: .*; choose another --port"):
            ChildServer(tmp_path / "data", port=port)
        other.settimeout(0)
        with pytest.raises(BlockingIOError):
            other.accept()
    assert not (tmp_path / "data").exists()
