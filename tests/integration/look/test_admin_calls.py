"""How the admin route is asked over real sockets: who refuses, who hangs, who breaks off, and who answers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from stackctl.adapters.http.admin_calls import post_action
from stackctl.core.access.replies import AdminReply
from stackctl.errors import RuntimeFailure
from tests.ports import claim_port


@contextmanager
def serve(answer: bytes, asked: list[bytes]) -> Iterator[str]:
    """A server that says this to one request, and then closes; nothing leaves the connection open and silent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = threading.Event()

        def run() -> None:
            connection, _ = listener.accept()
            with connection:
                while b"}" not in (asked[-1] if asked else b""):
                    asked.append((asked.pop() if asked else b"") + connection.recv(65_536))
                connection.sendall(answer)
                if not answer:
                    done.wait(30)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            done.set()
            thread.join()


def test_an_action_is_posted_with_the_key() -> None:
    asked: list[bytes] = []
    body = b'{"keys": []}'
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    with serve(head + body, asked) as url:
        assert post_action(url, "planted", {"do": "keys.list"}, 5.0) == AdminReply(200, {"keys": []})
    assert asked[0].startswith(b"POST /admin HTTP/1.1\r\n")
    assert b"authorization: bearer planted\r\n" in asked[0].lower()
    assert asked[0].endswith(b'{"do":"keys.list"}')


def test_where_nobody_listens_there_is_no_gateway() -> None:
    assert post_action(f"http://127.0.0.1:{claim_port()}", "k", {"do": "keys.list"}, 5.0) is None


def test_who_listens_and_stays_silent_hangs() -> None:
    with serve(b"", []) as url, pytest.raises(RuntimeFailure, match=r"hangs: no answer within 0\.2 s") as raised:
        post_action(url, "k", {"do": "keys.list"}, 0.2)
    assert "restart api-gateway" in raised.value.hint


def test_who_speaks_no_http_does_not_answer() -> None:
    with serve(b"220 mail\r\n\r\n", []) as url, pytest.raises(RuntimeFailure, match="does not answer"):
        post_action(url, "k", {"do": "keys.list"}, 5.0)


def test_a_name_that_is_unknown_is_not_taken_for_a_stopped_gateway() -> None:
    with pytest.raises(RuntimeFailure, match="does not answer"):
        post_action("http://gateway.invalid:1", "k", {"do": "keys.list"}, 5.0)
