"""Close one network namespace and watch, from within, what tries to leave it: ``watch.py READY_FILE``.

Runs by path with the standard library only, in a container beside a service or in a namespace of this machine; needs
CAP_NET_ADMIN and CAP_NET_RAW there. First it takes away every route to another network and makes every address of the
world one of the namespace's own, so that whatever a program tries becomes a packet, is refused at once, and goes
nowhere. Then it makes READY_FILE and writes JSON lines to stdout: ``ready`` with the namespace's own addresses; each
``lookup``, ``connect`` and ``neighbour`` when it is first seen; after SIGTERM all of them once more with their counts
and, as ``end``, how many packets the kernel dropped before this program could look at them.

Source: rtnetlink(7), packet(7), RFC 826, RFC 1035 section 4.1.
"""

from __future__ import annotations

import errno
import json
import select
import signal
import socket
import struct
import sys
from collections import Counter
from collections.abc import Iterator
from ctypes import CDLL, addressof, create_string_buffer

Event = tuple[tuple[str, str | int], ...]

# Docker's own name server; the kernel has rewritten its port before a packet is seen here.
EMBEDDED_DNS = "127.0.0.11"
DNS_PORTS = (53, 5353, 5355)  # DNS, multicast DNS, link-local name resolution
UNREADABLE = "(unreadable question)"

HOP_BY_HOP, ICMP, IGMP, TCP, UDP, ICMP6 = 0, 1, 2, 6, 17, 58
ECHO_REQUESTS = {ICMP: 8, ICMP6: 128}
NEIGHBOUR_SOLICITATION = 135
ARP_REQUEST = 1
ETH_ALL, ETH_IP4, ETH_ARP, ETH_IP6 = 0x0003, 0x0800, 0x0806, 0x86DD
OUTGOING = 4
IP6_HEADER = 40
PR_SET_PDEATHSIG = 1

BUFFER_BYTES = 64 << 20
SNAP_BYTES = 2048
SO_ATTACH_FILTER, SO_RCVBUFFORCE, SOL_PACKET, PACKET_STATISTICS = 26, 33, 263, 6

# The kernel's filter, each line an operation, the lines to skip if true and if false, and an operand. It keeps what
# leaves this namespace, or would, apart from TCP segments that open no connection.
FILTER = (
    (0x20, 0, 0, 0xFFFFF004),  # direction
    (0x15, 0, 19, OUTGOING),  # else drop
    (0x28, 0, 0, 0xFFFFF000),  # protocol
    (0x15, 16, 0, ETH_ARP),  # keep
    (0x15, 1, 0, ETH_IP4),
    (0x15, 9, 15, ETH_IP6),  # else drop
    (0x30, 0, 0, 9),  # IPv4: transport
    (0x15, 0, 12, TCP),  # else keep
    (0x20, 0, 0, 16),  # destination
    (0x15, 10, 0, 0x7F00000B),  # Docker's name server: keep, for the question in it
    (0x28, 0, 0, 6),
    (0x45, 8, 0, 0x1FFF),  # a later fragment has no flags: keep
    (0xB1, 0, 0, 0),  # X: length of the header
    (0x50, 0, 0, 13),  # flags
    (0x05, 0, 0, 3),  # to the comparison
    (0x30, 0, 0, 6),  # IPv6: transport
    (0x15, 0, 3, TCP),  # else keep
    (0x30, 0, 0, IP6_HEADER + 13),  # flags
    (0x54, 0, 0, 0x12),  # SYN and ACK
    (0x15, 0, 1, 0x02),  # SYN alone: keep, else drop
    (0x06, 0, 0, SNAP_BYTES),  # keep
    (0x06, 0, 0, 0),  # drop
)

NETLINK_HEADER = 16
REQUEST, ACK, DUMP, CREATE, REPLACE = 0x1, 0x4, 0x300, 0x400, 0x100
NEW_LINK, GET_ADDRESS, NEW_ROUTE, DELETE_ROUTE, GET_ROUTE = 16, 22, 24, 25, 26
LINK_UP = 1
IFA_ADDRESS, IFA_LOCAL = 1, 2
RTA_OIF, RTA_GATEWAY = 4, 5
MAIN_TABLE, STATIC, SCOPE_HOST, TYPE_UNICAST, TYPE_LOCAL = 254, 4, 254, 1, 2
ERROR, DONE = 2, 3


def main() -> None:
    """Close the namespace, watch until SIGTERM, then tell the counts."""
    if len(sys.argv) != 2:
        sys.exit("watch: expected READY_FILE")
    wake, wake_sender = socket.socketpair()
    wake_sender.setblocking(False)
    signal.set_wakeup_fd(wake_sender.fileno())
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)  # outside a container nobody else would end it
    with open_capture() as capture, socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        gateways = close_namespace(kernel)
        write_line(kind="ready", addresses=sorted(list_addresses(kernel)), gateways=sorted(gateways))
        with open(sys.argv[1], "w"):  # noqa: PTH123  # pathlib would triple this file's start-up
            pass
        counts: Counter[Event] = Counter()
        while wake not in select.select([capture, wake], [], [])[0]:
            note_packets(capture, counts)
        note_packets(capture, counts)
        for event, count in counts.items():
            write_line(**dict(event), count=count)
        _, dropped = struct.unpack("II", capture.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        write_line(kind="end", dropped=dropped)


def write_line(**values: object) -> None:
    """Write one JSON line, at once."""
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def open_capture() -> socket.socket:
    """Open a socket that receives what passes ``FILTER`` on every interface, headers of the link taken off."""
    capture = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_ALL))
    capture.setblocking(False)
    code = b"".join(struct.pack("HBBI", *line) for line in FILTER)
    buffer = create_string_buffer(code, len(code))
    capture.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(FILTER), addressof(buffer)))
    try:
        capture.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
    except PermissionError:  # a user namespace has no say in it; what does not fit is counted
        capture.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    for _ in read_packets(capture):  # what came before the filter
        pass
    return capture


def close_namespace(kernel: socket.socket) -> set[str]:
    """Take away every way out and make all addresses local; returns the addresses of the routers that were there."""
    loopback = socket.if_nametoindex("lo")
    ask_kernel(kernel, NEW_LINK, 0, struct.pack("BxHiII", 0, 0, loopback, LINK_UP, LINK_UP))
    gateways: set[str] = set()
    # Where loopback has no IPv6, no program can try to use it.
    for family in {body[0] for body in ask_kernel(kernel, GET_ADDRESS, DUMP, b"\0")}:
        gateways |= drop_routes(kernel, family)
        route = struct.pack("8BI", family, 0, 0, 0, MAIN_TABLE, STATIC, SCOPE_HOST, TYPE_LOCAL, 0)
        ask_kernel(kernel, NEW_ROUTE, CREATE | REPLACE, route + struct.pack("HHI", 8, RTA_OIF, loopback))
    return gateways


def drop_routes(kernel: socket.socket, family: int) -> set[str]:
    """Remove the default routes and those through a router; returns the routers' addresses."""
    gateways = set()
    for body in list(ask_kernel(kernel, GET_ROUTE, DUMP, struct.pack("8BI", family, *[0] * 8))):
        _, length, _, _, table, _, _, kind, _ = struct.unpack_from("8BI", body)
        attributes = unpack_attributes(body[12:])
        if table != MAIN_TABLE or kind != TYPE_UNICAST or (length and RTA_GATEWAY not in attributes):
            continue
        if RTA_GATEWAY in attributes:
            gateways.add(socket.inet_ntop(family, attributes[RTA_GATEWAY]))
        ask_kernel(kernel, DELETE_ROUTE, 0, body)
    return gateways


def list_addresses(kernel: socket.socket) -> set[str]:
    """Every address of this namespace's interfaces."""
    found = set()
    for body in ask_kernel(kernel, GET_ADDRESS, DUMP, b"\0"):
        attributes = unpack_attributes(body[8:])
        found.add(socket.inet_ntop(body[0], attributes.get(IFA_LOCAL) or attributes[IFA_ADDRESS]))
    return found


def ask_kernel(kernel: socket.socket, kind: int, flags: int, body: bytes) -> list[bytes]:
    """Make one request of rtnetlink; returns the bodies of its answers.

    Raises:
        OSError: the kernel refused the request.
    """
    ending = 0 if flags & DUMP == DUMP else ACK  # a list ends with DONE, anything else with an acknowledgement
    header = struct.pack("IHHII", NETLINK_HEADER + len(body), kind, flags | REQUEST | ending, 1, 0)
    kernel.send(header + body)
    bodies: list[bytes] = []
    for answer, content in read_messages(kernel):
        if answer == DONE:
            break
        if answer == ERROR:
            check_acknowledged(content)
            break
        bodies.append(content)
    return bodies


def read_messages(kernel: socket.socket) -> Iterator[tuple[int, bytes]]:
    """Kind and body of each message that the kernel sends, without end."""
    while True:
        data = kernel.recv(1 << 16)
        while data:
            length, kind, _, _, _ = struct.unpack_from("IHHII", data)
            yield kind, data[NETLINK_HEADER:length]
            data = data[(length + 3) & ~3 :]


def check_acknowledged(body: bytes) -> None:
    """Read the code of an error message, which is 0 where the kernel did what it was asked.

    Raises:
        OSError: the kernel refused the request.
    """
    code = -struct.unpack_from("i", body)[0]
    if code:
        raise OSError(code, errno.errorcode.get(code, "refused by the kernel"))


def unpack_attributes(data: bytes) -> dict[int, bytes]:
    """The values of netlink attributes, by their kind."""
    found = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("HH", data)
        found[kind] = data[4:length]
        data = data[(length + 3) & ~3 :]
    return found


def read_packets(capture: socket.socket) -> Iterator[tuple[int, bytes]]:
    """Protocol and content of all packets that wait."""
    while True:
        try:
            data, address = capture.recvfrom(SNAP_BYTES)
        except BlockingIOError:
            return
        except OSError as error:  # an interface went down; the others go on
            if error.errno != errno.ENETDOWN:
                raise
            continue
        yield address[1], data


def note_packets(capture: socket.socket, counts: Counter[Event]) -> None:
    """Count the events of all packets that wait, and write each that is new."""
    for protocol, data in read_packets(capture):
        event = find_event(protocol, data)
        if event is None:
            continue
        counts[event] += 1
        if counts[event] == 1:
            write_line(**dict(event))


def find_event(protocol: int, data: bytes) -> Event | None:
    """The event that a packet is; ``None`` for the kernel's own housekeeping and answers."""
    try:
        if protocol == ETH_ARP:
            return find_arp_event(data)
        if protocol == ETH_IP4:
            size, transport = 4 * (data[0] & 0xF), data[9]
            address = socket.inet_ntop(socket.AF_INET, data[16:20])
            is_fragment = bool(int.from_bytes(data[6:8], "big") & 0x1FFF)
        else:
            size, transport = IP6_HEADER, data[6]
            address = socket.inet_ntop(socket.AF_INET6, data[24:40])
            is_fragment = False
        return None if is_fragment else find_transport_event(transport, address, data[size:])
    except (IndexError, ValueError, struct.error):  # cut short
        return describe("connect", protocol="unreadable", address="unknown", port=0)


def find_arp_event(data: bytes) -> Event | None:
    """The address that a request on the local link asks for."""
    (operation,) = struct.unpack_from("!H", data, 6)
    target = socket.inet_ntop(socket.AF_INET, data[24:28])
    return describe("neighbour", address=target) if operation == ARP_REQUEST else None


def find_transport_event(transport: int, address: str, data: bytes) -> Event | None:
    """The event that an IP packet to this address is."""
    if transport == UDP:
        port = struct.unpack_from("!H", data, 2)[0]
        return find_datagram_event(address, port, data[8:])
    if transport == TCP:
        port, offset, flags = struct.unpack_from("!H8xBB", data, 2)
        if flags & 0x12 == 0x02:
            return describe("connect", protocol="tcp", address=address, port=port)
        question = data[4 * (offset >> 4) :]
        return describe_lookup(question[2:], address) if len(question) > 2 else None
    if transport == ICMP6 and data[0] == NEIGHBOUR_SOLICITATION:
        return describe("neighbour", address=socket.inet_ntop(socket.AF_INET6, data[8:24]))
    if transport in ECHO_REQUESTS:
        is_echo = data[0] == ECHO_REQUESTS[transport]
        return describe("connect", protocol="icmp", address=address, port=0) if is_echo else None
    if transport in (IGMP, HOP_BY_HOP):  # the kernel's own word on multicast groups
        return None
    return describe("connect", protocol=f"ip-{transport}", address=address, port=0)


def find_datagram_event(address: str, port: int, data: bytes) -> Event | None:
    """The event that a datagram is: a question to a name server, or a datagram to anything else."""
    if address == EMBEDDED_DNS or port in DNS_PORTS:
        return describe_lookup(data, address)
    return describe("connect", protocol="udp", address=address, port=port)


def describe_lookup(message: bytes, server: str) -> Event | None:
    """The event of a DNS question, with the name that it asks for; ``None`` for an answer."""
    if len(message) > 2 and message[2] & 0x80:
        return None
    return describe("lookup", name=read_name(message), server=server)


def read_name(message: bytes) -> str:
    """The name in the first question, in lower case and without a last dot."""
    labels, at = [], 12
    while at < len(message) and 0 < message[at] < 64:
        labels.append(message[at + 1 : at + 1 + message[at]].decode("ascii", "backslashreplace").lower())
        at += 1 + message[at]
    is_whole = at < len(message) and message[at] == 0
    return (".".join(labels) or ".") if is_whole else UNREADABLE


def describe(kind: str, **values: str | int) -> Event:
    """Make an event that can be counted."""
    return (("kind", kind), *values.items())


if __name__ == "__main__":
    main()
