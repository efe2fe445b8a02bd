"""What the watch reads in a packet's bytes: questions, destinations, and what is the kernel's own housekeeping."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stackctl.programs.watch import ETH_ARP, ETH_IP4, ETH_IP6, UNREADABLE, find_event, read_name

SYN, SYN_ACK, PUSH = 0x02, 0x12, 0x18


def build_question(*labels: bytes, flags: int = 0x0100) -> bytes:
    name = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    return struct.pack("!6H", 1, flags, 1, 0, 0, 0) + name + struct.pack("!HH", 1, 1)


def build_ip4(transport: int, to: str, payload: bytes, fragment: int = 0) -> bytes:
    size = 20 + len(payload)
    addresses = socket.inet_aton("10.0.0.1") + socket.inet_aton(to)
    return struct.pack("!BBHHHBBH", 0x45, 0, size, 1, fragment, 64, transport, 0) + addresses + payload


def build_ip6(transport: int, to: str, payload: bytes) -> bytes:
    addresses = socket.inet_pton(socket.AF_INET6, "fd00::1") + socket.inet_pton(socket.AF_INET6, to)
    return struct.pack("!IHBB", 0x60000000, len(payload), transport, 64) + addresses + payload


def build_udp(port: int, payload: bytes = b"") -> bytes:
    return struct.pack("!4H", 40000, port, 8 + len(payload), 0) + payload


def build_tcp(port: int, flags: int, payload: bytes = b"") -> bytes:
    return struct.pack("!HHIIBBHHH", 40000, port, 0, 0, 5 << 4, flags, 1024, 0, 0) + payload


def build_arp(operation: int, target: str) -> bytes:
    head = struct.pack("!HHBBH", 1, ETH_IP4, 6, 4, operation)
    return head + bytes(6) + socket.inet_aton("10.0.0.1") + bytes(6) + socket.inet_aton(target)


QUESTION = build_question(b"Models", b"example", b"com")
LOOKED_UP = {"kind": "lookup", "name": "models.example.com"}


@pytest.mark.parametrize(
    ("packet", "event"),
    [
        (build_ip4(17, "192.0.2.53", build_udp(53, QUESTION)), LOOKED_UP | {"server": "192.0.2.53"}),
        # Docker's name server, whose port the kernel has rewritten, and a question over TCP.
        (build_ip4(17, "127.0.0.11", build_udp(43210, QUESTION)), LOOKED_UP | {"server": "127.0.0.11"}),
        (
            build_ip4(6, "127.0.0.11", build_tcp(43210, PUSH, struct.pack("!H", len(QUESTION)) + QUESTION)),
            LOOKED_UP | {"server": "127.0.0.11"},
        ),
        (build_ip4(17, "224.0.0.251", build_udp(5353, QUESTION)), LOOKED_UP | {"server": "224.0.0.251"}),
        (
            build_ip4(17, "192.0.2.53", build_udp(53, b"no question")),
            {"kind": "lookup", "name": UNREADABLE, "server": "192.0.2.53"},
        ),
        (
            build_ip4(6, "192.0.2.1", build_tcp(443, SYN)),
            {"kind": "connect", "protocol": "tcp", "address": "192.0.2.1", "port": 443},
        ),
        (
            build_ip4(17, "192.0.2.1", build_udp(123)),
            {"kind": "connect", "protocol": "udp", "address": "192.0.2.1", "port": 123},
        ),
        (
            build_ip4(1, "192.0.2.1", b"\x08\0"),
            {"kind": "connect", "protocol": "icmp", "address": "192.0.2.1", "port": 0},
        ),
        (
            build_ip4(132, "192.0.2.1", bytes(12)),
            {"kind": "connect", "protocol": "ip-132", "address": "192.0.2.1", "port": 0},
        ),
    ],
)
def test_what_a_program_tries_is_read(packet: bytes, event: dict[str, object]) -> None:
    found = find_event(ETH_IP4, packet)
    assert found is not None
    assert dict(found) == event


def test_ip6_is_read_as_ip4_is() -> None:
    packet = build_ip6(6, "2001:db8::1", build_tcp(443, SYN))
    assert dict(find_event(ETH_IP6, packet) or ()) == {
        "kind": "connect",
        "protocol": "tcp",
        "address": "2001:db8::1",
        "port": 443,
    }


def test_the_address_that_is_asked_for_on_the_link_is_read() -> None:
    assert dict(find_event(ETH_ARP, build_arp(1, "172.18.0.9")) or ()) == {"kind": "neighbour", "address": "172.18.0.9"}
    solicitation = build_ip6(58, "ff02::1", b"\x87\0\0\0\0\0\0\0" + socket.inet_pton(socket.AF_INET6, "fe80::9"))
    assert dict(find_event(ETH_IP6, solicitation) or ()) == {"kind": "neighbour", "address": "fe80::9"}


@pytest.mark.parametrize(
    ("protocol", "packet"),
    [
        (ETH_ARP, build_arp(2, "172.18.0.9")),
        (ETH_IP4, build_ip4(17, "127.0.0.11", build_udp(43210, build_question(b"a", flags=0x8180)))),
        (ETH_IP4, build_ip4(6, "127.0.0.11", build_tcp(43210, 0x10))),
        (ETH_IP4, build_ip4(6, "10.0.0.2", build_tcp(40000, SYN_ACK))),
        (ETH_IP4, build_ip4(1, "10.0.0.2", b"\x03\x03" + bytes(6))),
        (ETH_IP4, build_ip4(2, "224.0.0.22", bytes(8))),
        (ETH_IP4, build_ip4(17, "192.0.2.1", bytes(8), fragment=185)),
        (ETH_IP6, build_ip6(0, "ff02::16", bytes(8))),
        (ETH_IP6, build_ip6(58, "ff02::2", b"\x85\0" + bytes(6))),
    ],
    ids=["arp-reply", "dns-answer", "ack", "accepted", "unreachable", "igmp", "later-fragment", "mld", "router"],
)
def test_answers_and_the_kernels_own_housekeeping_are_no_events(protocol: int, packet: bytes) -> None:
    assert find_event(protocol, packet) is None


@pytest.mark.parametrize(
    ("message", "name"),
    [
        (build_question(), "."),
        (build_question(b"\xed\x95\x9c"), "\\xed\\x95\\x9c"),
        (QUESTION[:-6], UNREADABLE),
        (QUESTION[:12] + b"\xc0\x0c", UNREADABLE),
        (b"", UNREADABLE),
    ],
)
def test_a_name_is_read_whole_or_said_to_be_unreadable(message: bytes, name: str) -> None:
    assert read_name(message) == name


@given(st.sampled_from([ETH_ARP, ETH_IP4, ETH_IP6]), st.binary(max_size=120))
@example(ETH_IP4, build_ip4(6, "192.0.2.1", b"")[:18])
@example(ETH_IP4, build_ip4(58, "192.0.2.1", b""))
def test_no_packet_stops_the_watch(protocol: int, packet: bytes) -> None:
    event = find_event(protocol, packet)
    assert event is None or dict(event)["kind"] in ("lookup", "connect", "neighbour")
