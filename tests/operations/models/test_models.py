"""Pulling a model against a scripted server and a clock that costs nothing: waits, bounds, space, restarts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from stackctl.adapters.files import site_files
from stackctl.adapters.models import gguf, model_store
from stackctl.core.download.transfer import HostUnreachable, Reply, TransferInterrupted
from stackctl.errors import ConfigError, RuntimeFailure
from stackctl.operations.effects import Effects, Given
from stackctl.operations.models.folder import BroughtModel, StoreEffects
from stackctl.operations.models.pull import run_pull
from tests.fakes import CHECKOUT, World, override
from tests.gguf_files import write_model

URL = "https://files.example/tiny.gguf"
MIB = 1 << 20

Body = Callable[[], Iterator[bytes]]


@dataclass
class Server:
    """Answers GET with one step of its script, the last one for ever; HEAD with 405, so that all is in the script."""

    data: bytes
    script: list[Callable[[Mapping[str, str]], Reply]] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)

    @contextmanager
    def open_reply(self, ca_bundle: Path | None, method: str, url: str, headers: Mapping[str, str]) -> Iterator[Reply]:
        if method == "HEAD":
            yield self.send(self.data)(headers)
            return
        self.ranges.append(headers.get("range", ""))
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        yield step(headers)

    def send(self, data: bytes, cut: int | None = None, *, has_ranges: bool = True) -> Callable[..., Reply]:
        """The file from where it was asked for; ``cut`` breaks each body after so many bytes."""

        def answer(headers: Mapping[str, str]) -> Reply:
            asked = headers.get("range", "") if has_ranges else ""
            start = int(asked.removeprefix("bytes=").rstrip("-") or 0)
            body = data[start:]
            facts = {"etag": '"v1"', "content-length": str(len(body))}
            if asked:
                facts["content-range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"

            def chunks() -> Iterator[bytes]:
                yield body[:cut]
                if cut is not None and cut < len(body):
                    raise TransferInterrupted("The connection broke.")

            return Reply(URL, 206 if asked else 200, facts, chunks)

        return answer

    def fail(self, error: RuntimeFailure) -> Callable[..., Reply]:
        """No answer."""

        def answer(headers: Mapping[str, str]) -> Reply:
            raise error

        return answer


@dataclass
class Setup:
    world: World
    effects: Effects
    store: StoreEffects
    server: Server
    models: Path

    def pull(self, name: str = "") -> BroughtModel:
        digest = hashlib.sha256(self.server.data).hexdigest()
        return run_pull(self.effects, self.store, name or f"{URL}#sha256={digest}")


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    (tmp_path / "source").mkdir()
    server = Server(write_model(tmp_path / "source" / "tiny.gguf", vocabulary=20_000).read_bytes())
    server.script = [server.send(server.data)]
    world = World()
    disk = override(
        world.effects.files,
        load_text=site_files.load_text,
        save_text=site_files.save_text,
        remove_file=site_files.remove_file,
        is_link=Path.is_symlink,
        load_model_files=gguf.load_model_files,
    )
    paths = replace(world.effects.paths, site=tmp_path, data_root=CHECKOUT)
    effects = replace(world.effects, paths=paths, files=disk)
    store = StoreEffects(
        open_reply=server.open_reply,
        hold_download=model_store.hold_download,
        open_partial=model_store.open_partial,
        compute_sha256=model_store.compute_sha256,
        copy_file=model_store.copy_file,
        place_file=model_store.place_file,
        load_header=gguf.load_gguf,
        load_size=model_store.load_size,
        load_free_bytes=lambda folder: 1 << 40,
        list_files=model_store.list_files,
        is_same_file_system=model_store.is_same_file_system,
    )
    return Setup(world, effects, store, server, tmp_path / "models")


def test_a_line_that_always_breaks_ends_at_last_and_loses_nothing(setup: Setup) -> None:
    setup.server.script = [setup.server.send(setup.server.data, 1000)]
    with pytest.raises(TransferInterrupted):
        setup.pull()
    tries = len(setup.server.ranges)
    assert 3 <= tries <= 10
    assert 1 < setup.world.now < 120
    assert (setup.models / ".partial" / "tiny.gguf.partial").stat().st_size == 1000 * tries
    setup.server.script = [setup.server.send(setup.server.data)]
    setup.pull()
    assert setup.server.ranges[-1] == f"bytes={1000 * tries}-"
    assert (setup.models / "tiny.gguf").read_bytes() == setup.server.data


def test_a_line_that_breaks_often_and_gets_on_does_not_end(setup: Setup) -> None:
    assert len(setup.server.data) > 4 * MIB
    setup.server.script = [
        setup.server.send(setup.server.data, 2 * MIB),
        setup.server.send(setup.server.data, MIB // 8),
    ]
    setup.server.script += [setup.server.send(setup.server.data, 2 * MIB)]
    setup.pull()
    assert (setup.models / "tiny.gguf").read_bytes() == setup.server.data


def test_a_server_without_ranges_on_a_breaking_line_ends_at_last(setup: Setup) -> None:
    setup.server.script = [setup.server.send(setup.server.data, 2 * MIB, has_ranges=False)]
    with pytest.raises(RuntimeFailure):
        setup.pull()
    assert len(setup.server.ranges) < 12
    assert not (setup.models / "tiny.gguf").exists()


def test_a_host_that_disappears_for_a_while_is_waited_for(setup: Setup) -> None:
    gone = setup.server.fail(HostUnreachable("This machine cannot reach site_files.example."))
    setup.server.script = [
        setup.server.send(setup.server.data, 2 * MIB),
        gone,
        gone,
        setup.server.send(setup.server.data),
    ]
    setup.pull()
    assert setup.world.now >= 1 + 2
    assert (setup.models / "tiny.gguf").read_bytes() == setup.server.data


def test_a_host_that_was_never_there_is_not_waited_for(setup: Setup) -> None:
    @contextmanager
    def refuse(ca_bundle: Path | None, method: str, url: str, headers: Mapping[str, str]) -> Iterator[Reply]:
        raise HostUnreachable("This machine cannot reach site_files.example: refused.")
        yield

    with pytest.raises(RuntimeFailure, match=r"models add tiny\.gguf") as caught:
        run_pull(setup.effects, replace(setup.store, open_reply=refuse), URL)
    assert setup.world.now == 0
    assert caught.value.exit_code == 5


def test_the_server_says_how_long_to_wait(setup: Setup) -> None:
    def busy(headers: Mapping[str, str]) -> Reply:
        return Reply(URL, 429, {"retry-after": "17"})

    setup.server.script = [busy, setup.server.send(setup.server.data)]
    setup.pull()
    assert setup.world.now == 17


def test_a_server_that_asks_for_an_hour_is_left_to_the_next_run(setup: Setup) -> None:
    def busy(headers: Mapping[str, str]) -> Reply:
        return Reply(URL, 429, {"retry-after": "3600"})

    setup.server.script = [busy]
    with pytest.raises(TransferInterrupted) as caught:
        setup.pull()
    assert "in 1 h" in caught.value.hint
    assert (setup.world.now, len(setup.server.ranges)) == (0, 1)


@pytest.mark.parametrize(
    ("known", "words"), [("", "bring the file by hand"), ("set BUILD_CA_BUNDLE", "BUILD_CA_BUNDLE")]
)
def test_storage_that_cannot_be_reached_is_told_with_the_ways_around_it(setup: Setup, known: str, words: str) -> None:
    setup.server.script = [setup.server.fail(HostUnreachable("This machine cannot reach storage.example.", known))]
    with pytest.raises(HostUnreachable, match=r"models add tiny\.gguf") as caught:
        setup.pull()
    assert words in caught.value.hint
    assert not list(setup.models.rglob("*.gguf.partial"))


def test_no_space_is_found_before_anything_is_written(setup: Setup) -> None:
    with pytest.raises(ConfigError, match="Nothing was written"):
        run_pull(setup.effects, replace(setup.store, load_free_bytes=lambda folder: MIB), URL)
    assert setup.server.ranges == []
    assert not list(setup.models.rglob("tiny.gguf.partial"))


def test_space_is_needed_for_the_rest_only(setup: Setup) -> None:
    setup.server.script = [setup.server.send(setup.server.data, len(setup.server.data) - 1000)]
    store = setup.store
    setup.server.script.append(setup.server.fail(RuntimeFailure("down")))
    with pytest.raises(RuntimeFailure):
        setup.pull()
    setup.server.script = [setup.server.send(setup.server.data)]
    setup.store = replace(store, load_free_bytes=lambda folder: 2000)
    setup.pull()
    assert (setup.models / "tiny.gguf").read_bytes() == setup.server.data


def test_an_unfinished_file_counts_as_space_even_when_it_starts_over(setup: Setup) -> None:
    size = len(setup.server.data)
    partial = setup.models / ".partial" / "tiny.gguf.partial"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(bytes(size - 1000))  # as a full disk leaves it: nothing vouches for its bytes
    setup.store = replace(setup.store, load_free_bytes=lambda folder: 2000)
    setup.pull()
    assert setup.server.ranges == [""]
    assert (setup.models / "tiny.gguf").read_bytes() == setup.server.data


def test_a_full_disk_is_told_and_what_came_stays(setup: Setup) -> None:
    class Full:
        def __init__(self, inner: model_store.PartialFile) -> None:
            self._inner = inner
            self.sync, self.restart, self.compute_sha256 = inner.sync, inner.restart, inner.compute_sha256

        @property
        def position(self) -> int:
            return self._inner.position

        def write(self, data: bytes) -> None:
            self._inner.write(data[:MIB])
            raise OSError(28, "No space left on device")

    @contextmanager
    def open_full(path: Path, offset: int, on_bytes: Callable[[int], None]) -> Iterator[Full]:
        with model_store.open_partial(path, offset, on_bytes) as inner:
            yield Full(inner)

    with pytest.raises(RuntimeFailure, match="No space left") as caught:
        run_pull(setup.effects, replace(setup.store, open_partial=open_full), URL)  # type: ignore[arg-type]
    assert "free some space" in caught.value.hint
    setup.pull(URL)
    assert setup.server.ranges[-1] == f"bytes={MIB}-"
    assert (setup.models / "tiny.gguf").read_bytes() == setup.server.data


def test_a_token_that_no_header_carries_is_refused_without_showing_it(setup: Setup) -> None:
    effects = replace(setup.effects, given=Given({"HF_TOKEN": "planted token"}, {}))
    with pytest.raises(ConfigError) as caught:
        run_pull(effects, setup.store, "hf:a/b/tiny.gguf")
    assert "planted" not in f"{caught.value}{caught.value.hint}"


def test_progress_has_rate_and_time_left(setup: Setup) -> None:
    def slow(headers: Mapping[str, str]) -> Reply:
        def chunks() -> Iterator[bytes]:
            for position in range(0, len(setup.server.data), MIB):
                setup.world.now += 1
                yield setup.server.data[position : position + MIB]

        return Reply(URL, 200, {"content-length": str(len(setup.server.data))}, chunks)

    setup.server.script = [slow]
    setup.pull()
    lines = [line for line in setup.world.reports if line.startswith("tiny.gguf: ")]
    assert any("MiB/s" in line and "s left" in line for line in lines)
