"""Requests to engines over connections of their own: what is sent, and every way in which an answer can go wrong."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from gateway.catalog.values import Provider, Target, Timeouts
from gateway.lanes.plain import post_plain, takes_plain
from gateway.outcomes import BROKEN_ANSWER, TIMED_OUT, UNREACHABLE, Outcome, TargetError
from hypothesis import given
from hypothesis import strategies as st

from tests.ports import claim_ports

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
ANSWERS = {
    "a length": HEAD + b"content-length: 11\r\n\r\nhello there",
    "chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n there\r\n0\r\n\r\n",
    "the end of the connection": HEAD + b"\r\nhello there",
    "word of more to come": b"HTTP/1.1 100 Continue\r\nx-first: 1\r\n\r\n"
    + HEAD
    + b"content-length: 11\r\n\r\nhello there",
    "more than it said": HEAD + b"content-length: 11\r\n\r\nhello there, and more",
}
WRONG = {
    "nothing": (b"", UNREACHABLE),
    "half a head": (HEAD, UNREACHABLE),
    "another protocol": (b"SSH-2.0-OpenSSH_9.2\r\n", BROKEN_ANSWER),
    "half a body": (HEAD + b"content-length: 11\r\n\r\nhello", BROKEN_ANSWER),
    "half the chunks": (HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", BROKEN_ANSWER),
    "a chunk of no size": (HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n", BROKEN_ANSWER),
    "a head without end": (HEAD + b"x-filler: " + b"x" * 200_000, BROKEN_ANSWER),
}


def build_target(address: str, connect_s: float = 5.0) -> Target:
    provider = Provider("engine", "engine", fresh_connections=True, timeouts=Timeouts(connect_s=connect_s))
    return Target("mine", provider, "mine", "chat", f"http://{address}/v1", key="engine-key")


@contextlib.asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[Target]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await handler(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield build_target(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")


def answering(*pieces: bytes) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)  # so that pieces arrive as they are

    return handle


async def fetch(target: Target) -> tuple[int, str, bytes]:
    """Status, media type and body."""
    async with post_plain(target, "/chat/completions", {"content-type": "application/json"}, b"{}") as answer:
        body = b""
        while piece := await answer.read():
            body += piece
        return answer.status, answer.headers["content-type"], body


async def fetch_from(handler: Handler) -> tuple[int, str, bytes]:
    async with serving(handler) as target:
        return await asyncio.wait_for(fetch(target), 10)


def fail_at(target: Target) -> Outcome:
    with pytest.raises(TargetError) as caught:
        asyncio.run(asyncio.wait_for(fetch(target), 10))
    return caught.value.outcome


@pytest.mark.parametrize("name", ANSWERS)
@given(cuts=st.lists(st.integers(0, 150), max_size=4))
def test_an_answer_that_ends_with(name: str, cuts: list[int]) -> None:
    whole = ANSWERS[name]
    places = [0, *sorted(cuts), len(whole)]
    pieces = [whole[start:end] for start, end in itertools.pairwise(places)]
    assert asyncio.run(fetch_from(answering(*pieces))) == (200, "text/plain", b"hello there")


@pytest.mark.parametrize("name", WRONG)
def test_an_answer_of(name: str) -> None:
    sent, outcome = WRONG[name]
    with pytest.raises(TargetError) as caught:
        asyncio.run(fetch_from(answering(sent)))
    assert caught.value.outcome is outcome


def test_what_is_sent() -> None:
    seen = b""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        seen = await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(2)
        writer.write(ANSWERS["a length"])

    asyncio.run(fetch_from(handle))
    head, _, body = seen.partition(b"\r\n\r\n")
    first, *lines = head.lower().split(b"\r\n")
    assert first == b"post /v1/chat/completions http/1.1"
    assert body == b"{}"
    assert {b"connection: close", b"content-length: 2", b"content-type: application/json"} < set(lines)
    assert [line for line in lines if line.startswith(b"host: 127.0.0.1:")]


def test_a_server_that_is_not_there() -> None:
    assert fail_at(build_target(f"127.0.0.1:{claim_ports()[0]}")) is UNREACHABLE
    assert fail_at(build_target("no-such-engine.invalid:80")) is UNREACHABLE


def test_a_server_that_takes_no_connection() -> None:
    async def run() -> None:
        # Linux takes one connection more than the backlog says, and leaves all others waiting.
        server = await asyncio.start_server(answering(), "127.0.0.1", 0, backlog=1, start_serving=False)
        address = server.sockets[0].getsockname()
        server.sockets[0]._sock.listen(0)  # type: ignore[attr-defined]
        async with contextlib.AsyncExitStack() as waiting:
            for _ in range(2):
                connecting = asyncio.ensure_future(asyncio.open_connection(*address))
                waiting.callback(connecting.cancel)
                await asyncio.wait([connecting], timeout=0.1)
            await fetch(build_target(f"{address[0]}:{address[1]}", connect_s=0.2))

    with pytest.raises(TargetError) as caught:
        asyncio.run(asyncio.wait_for(run(), 10))
    assert caught.value.outcome is TIMED_OUT


def test_an_answer_that_nobody_reads_waits_at_its_server() -> None:
    whole, sent = 64 * 1024 * 1024, 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + b"content-length: %d\r\n\r\n" % whole)
        while sent < whole:
            writer.write(bytes(64 * 1024))
            sent += 64 * 1024
            await writer.drain()

    async def run() -> None:
        async with serving(handle) as target, post_plain(target, "/x", {}, b"{}") as answer:
            before = -1
            while before < sent:  # until nothing moves any more
                before = sent
                await asyncio.sleep(0.2)
            assert sent < whole / 2
            got = 0
            while piece := await answer.read():
                got += len(piece)
            assert got == whole

    asyncio.run(asyncio.wait_for(run(), 60))


def test_an_abandoned_answer_ends_its_connection() -> None:
    async def run() -> None:
        left = asyncio.Event()

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
            with contextlib.suppress(ConnectionError):
                while await reader.read(100):
                    pass
            left.set()

        async with serving(handle) as target:
            async with post_plain(target, "/x", {}, b"{}") as answer:
                assert await answer.read() == b"hello"
            await asyncio.wait_for(left.wait(), 5)

    asyncio.run(run())


async def pass_on(handler: Handler, wanted: int) -> list[bytes]:
    """The pieces that were handed over until there were this many bytes."""
    pieces: list[bytes] = []

    def take(data: bytes) -> bool:
        pieces.append(data)
        return sum(map(len, pieces)) < wanted

    async with serving(handler) as target, post_plain(target, "/x", {}, b"{}") as answer:
        await asyncio.wait_for(answer.pass_to(take), 10)
    return pieces


@given(cuts=st.lists(st.integers(0, 150), max_size=4))
def test_a_body_is_handed_over_as_it_arrives(cuts: list[int]) -> None:
    whole = ANSWERS["chunks"]
    places = [0, *sorted(cuts), len(whole)]
    pieces = [whole[start:end] for start, end in itertools.pairwise(places)]
    assert b"".join(asyncio.run(pass_on(answering(*pieces), wanted=11))) == b"hello there"


@pytest.mark.parametrize("sent", [ANSWERS["chunks"], WRONG["half a body"][0], WRONG["half the chunks"][0]])
def test_a_body_that_ends_too_early_is_broken(sent: bytes) -> None:
    with pytest.raises(TargetError) as caught:
        asyncio.run(pass_on(answering(sent), wanted=12))
    assert caught.value.outcome is BROKEN_ANSWER


def test_what_goes_wrong_with_a_piece_is_heard_by_who_waits() -> None:
    def refuse(data: bytes) -> bool:
        raise LookupError(data)

    async def run() -> None:
        held = asyncio.Event()

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(HEAD + b"\r\n")
            await held.wait()
            writer.write(b"bad")

        async with serving(handle) as target, post_plain(target, "/x", {}, b"{}") as answer:
            asyncio.get_running_loop().call_soon(held.set)
            await asyncio.wait_for(answer.pass_to(refuse), 10)

    with pytest.raises(LookupError):
        asyncio.run(run())


def test_what_needs_more_than_plain_connections_is_asked_otherwise() -> None:
    engine = build_target("127.0.0.1:1")
    assert takes_plain(engine)
    secure = Target("x", engine.provider, "x", "chat", "https://127.0.0.1:1/v1")
    pooled = Target("x", Provider("x", "engine"), "x", "chat", engine.base_url)
    proxied = Target(
        "x", Provider("x", "engine", fresh_connections=True, is_proxied=True), "x", "chat", engine.base_url
    )
    assert not any(map(takes_plain, (secure, pooled, proxied)))
