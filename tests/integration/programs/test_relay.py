"""The ingress's relay as a process between a client and a server of the test's own: bytes, ends, breaks, stopping."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from tests.fakes import CHECKOUT

RELAY = CHECKOUT / "stackctl" / "programs" / "relay.py"
DEADLINE_S = 30.0


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """What stands behind the relay, on an address of loopback that the relay does not listen on."""
    with socket.create_server(("127.0.0.2", 0)) as listener:
        listener.settimeout(DEADLINE_S)
        yield listener


@contextmanager
def run_relay(port: int, host: str = "127.0.0.2") -> Iterator[subprocess.Popen[str]]:
    """The program on 127.0.0.1; it is ready when it is there."""
    argv = [sys.executable, "-I", "-S", str(RELAY), "127.0.0.1", str(port), host]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == f"relay: {port} to {host}\n"
            yield process
        finally:
            process.kill()


@pytest.fixture
def relay(server: socket.socket) -> Iterator[subprocess.Popen[str]]:
    with run_relay(server.getsockname()[1]) as process:
        yield process


def connect(server: socket.socket) -> socket.socket:
    """A client's connection to the relay."""
    return socket.create_connection(("127.0.0.1", server.getsockname()[1]), DEADLINE_S)


def accept(server: socket.socket) -> socket.socket:
    link, _ = server.accept()
    link.settimeout(DEADLINE_S)
    return link


def read_all(link: socket.socket) -> bytes:
    """Everything until the other side ends."""
    parts = []
    while part := link.recv(65536):
        parts.append(part)
    return b"".join(parts)


def test_bytes_pass_in_both_directions_and_an_end_is_an_end(relay: object, server: socket.socket) -> None:
    with connect(server) as client:
        client.sendall(b"question")
        with accept(server) as service:
            assert service.recv(100) == b"question"
            service.sendall(b"first")
            assert client.recv(100) == b"first"
            # A client that has said all may still hear the answer.
            client.shutdown(socket.SHUT_WR)
            assert service.recv(100) == b""
            service.sendall(b"last")
        assert read_all(client) == b"last"


def test_more_than_any_buffer_holds_passes_whole(relay: object, server: socket.socket) -> None:
    """The client reads nothing until all is sent, so the relay must hold its sender up and let it go on."""
    content = bytes(range(256)) * 64 * 1024
    with connect(server) as client, accept(server) as service:
        service.setblocking(False)
        sent = 0
        while sent < len(content):
            try:
                sent += service.send(content[sent:])
            except BlockingIOError:
                break
        assert sent < len(content), "nothing held the sender up"
        service.settimeout(DEADLINE_S)
        rest = threading.Thread(target=service.sendall, args=(content[sent:],))
        rest.start()
        received = bytearray()
        while len(received) < len(content):
            received += client.recv(1 << 20)
        rest.join()
        assert bytes(received) == content


def test_a_client_that_goes_is_gone_for_the_server_too(relay: object, server: socket.socket) -> None:
    client = connect(server)
    with accept(server) as service:
        client.close()
        assert service.recv(100) == b""


@pytest.mark.parametrize("breaks", ["client", "service"])
def test_a_break_is_no_good_end(relay: object, server: socket.socket, breaks: str) -> None:
    with connect(server) as client, accept(server) as service:
        broken, other = (client, service) if breaks == "client" else (service, client)
        broken.sendall(b"half")
        assert other.recv(100) == b"half"
        broken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        broken.close()
        with pytest.raises(ConnectionResetError):
            other.recv(100)


def test_where_nobody_answers_the_client_hears_at_once_and_the_next_is_served(
    relay: object, server: socket.socket
) -> None:
    address = server.getsockname()
    server.close()
    with connect_to(address[1]) as client, pytest.raises(ConnectionResetError):
        client.recv(100)
    with socket.create_server(address) as again:
        again.settimeout(DEADLINE_S)
        with connect_to(address[1]) as client, accept(again) as service:
            service.sendall(b"here")
            assert client.recv(100) == b"here"


def connect_to(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), DEADLINE_S)


def test_told_to_stop_it_takes_nobody_in_and_lets_those_inside_finish(
    relay: subprocess.Popen[str], server: socket.socket
) -> None:
    with connect(server) as client, accept(server) as service:
        relay.send_signal(signal.SIGTERM)
        assert relay.stdout is not None
        assert relay.stdout.readline() == "relay: ending\n"
        with pytest.raises(ConnectionRefusedError):
            connect(server)
        service.sendall(b"the end of a long answer")
        service.close()
        assert read_all(client) == b"the end of a long answer"
    assert relay.wait(DEADLINE_S) == 0


def test_a_hundred_clients_at_once(relay: object, server: socket.socket) -> None:
    with closing(server):
        clients = [connect(server) for _ in range(100)]
        services = [accept(server) for _ in range(100)]
        for service in services:
            service.sendall(service.recv(0) + b"hello")
        assert {client.recv(100) for client in clients} == {b"hello"}
        for link in (*clients, *services):
            link.close()


def test_a_wrong_command_line_says_what_is_expected() -> None:
    done = subprocess.run([sys.executable, str(RELAY), "x"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "expected ADDRESS PORT HOST" in done.stderr


def test_it_relays_to_several_hosts_and_ends_at_all_of_them(server: socket.socket) -> None:
    with socket.create_server(("127.0.0.3", 0)) as other:
        other.settimeout(DEADLINE_S)
        places = [
            ("127.0.0.1", server.getsockname()[1], "127.0.0.2"),
            ("127.0.0.1", other.getsockname()[1], "127.0.0.3"),
        ]
        words = [str(word) for place in places for word in place]
        argv = [sys.executable, "-I", "-S", str(RELAY), *words]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            assert process.stdout is not None
            assert {process.stdout.readline() for _ in places} == {
                f"relay: {port} to {host}\n" for _, port, host in places
            }
            with connect(other) as client, accept(other) as service:
                client.sendall(b"question")
                assert service.recv(100) == b"question"
                process.send_signal(signal.SIGTERM)
                assert [process.stdout.readline() for _ in places] == ["relay: ending\n"] * 2
                service.sendall(b"last")
                assert client.recv(100) == b"last"
            assert process.wait(DEADLINE_S) == 0


def test_outside_is_the_address_of_the_way_to_other_machines_and_no_other(server: socket.socket) -> None:
    port = server.getsockname()[1]
    argv = [sys.executable, "-I", "-S", str(RELAY), "outside", str(port), "127.0.0.2"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            if "no way to other machines" in said:
                pytest.skip("this machine has no way to others")
            assert said == f"relay: {port} to 127.0.0.2\n"
            with pytest.raises(ConnectionRefusedError):
                connect(server)
        finally:
            process.kill()
