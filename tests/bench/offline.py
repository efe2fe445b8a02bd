"""The offline group: packing, verifying and loading a bundle against plain tools that move the same bytes."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median

from stackctl.adapters.parts_writer import JOURNAL, Journal
from stackctl.core.dotenv import set_values
from stackctl.core.gguf_walk import read_content
from tests.bench.report import Figure

STACKCTL = str(Path(sys.executable).with_name("stackctl"))
TITLE = "Offline bundles"
MIB = 1 << 20
TENSOR_BYTES = 96 * MIB
MAX_MEMORY_MIB = 200


@dataclass(frozen=True, slots=True)
class Run:
    """One command: wall time, and the most memory it held."""

    seconds: float
    peak_mib: float


def measure_offline(site: Path, folder: Path, gib: int, rounds: int = 3) -> list[Figure]:
    """All figures of one bundle of ``gib`` GiB of model.

    Args:
        site: in the process runtime.
        folder: on the disk to measure, with room for four times the model.
    """
    model = _make_model(folder / "models" / "bench.gguf", gib * 1024 * MIB, "first")
    _run([STACKCTL, "--site", str(site), "offline-keygen", "--out", str(folder / "bench")])
    _run([STACKCTL, "--site", str(folder), "init"])
    _set(site, {"CHAT_MODEL": model.name, "EMBEDDING_MODEL": "none", "MODELS_DIR": str(model.parent)})
    out = folder / "out"
    pack = [STACKCTL, "--site", str(site), "offline-pack", "--out", str(out), "--python", "3.11"]
    pack += ["--key", str(folder / "bench.key")]
    _run(pack)  # digests and wheels are remembered from here on
    shutil.rmtree(out)
    figures = [_measure_pack(pack, model, out, rounds)]
    (bundle,) = (path for path in out.iterdir() if path.is_dir())
    figures += [
        _measure_repack(pack),
        _measure_verify(bundle, folder, rounds),
        _measure_load(bundle, model, folder, rounds),
        _measure_gzip(pack, folder),
        _measure_kill(pack, folder, bundle),
        *_measure_deltas(site, pack, bundle, model, folder),
    ]
    return figures


def _make_model(path: Path, size: int, name: str) -> Path:
    """In a process of its own: what this one holds at its largest would be counted as its children's memory."""
    process = get_context("spawn").Process(target=write_model, args=(path, size, name))
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"{path} could not be written")
    return path


def write_model(path: Path, size: int, name: str) -> None:
    """A GGUF file of random weights that differs from another one only by its name, so only in its header."""
    import numpy as np
    from gguf import GGUFWriter

    path.parent.mkdir(parents=True, exist_ok=True)
    writer = GGUFWriter(path, "llama")
    writer.add_name(name)
    for add in (writer.add_context_length, writer.add_embedding_length, writer.add_feed_forward_length):
        add(512)
    writer.add_block_count(2)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_chat_template("{{ messages }}")
    writer.add_tokenizer_model("llama")
    writer.add_token_list([f"{number:040d}".encode() for number in range(32_000)])
    random = np.random.default_rng(7)
    block = random.integers(0, 255, TENSOR_BYTES, dtype=np.uint8).view(np.float32).reshape(-1, 1024)
    count = max(size // TENSOR_BYTES, 1)
    for number in range(count):
        writer.add_tensor_info(f"blk.{number}.weight", block.shape, block.dtype, block.nbytes)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for number in range(count):
        block[0, 0] = number  # no two tensors are alike
        writer.write_tensor_data(block)
    writer.close()


def _measure_pack(pack: Sequence[str], model: Path, out: Path, rounds: int) -> Figure:
    """A warm pack of everything against a copy of the model, both until the bytes are on the disk."""
    ours, other, extra = [], [], []
    for _ in range(rounds):
        shutil.rmtree(out, ignore_errors=True)
        other.append(_copy([model], out.with_name("copy")))
        with _DiskWatch(out) as watch:
            ours.append(_run(pack))
        extra.append(watch.peak_bytes - _measure_size(out))
    ratio = median(other) / median(run.seconds for run in ours)
    peak = max(run.peak_mib for run in ours)
    note = f"{_rate(model, ours)}, {peak:.0f} MiB of memory, {max(extra) / MIB:.0f} MiB of temporary disk"
    met = ratio >= 0.9 and peak <= MAX_MEMORY_MIB and max(extra) <= 64 * MIB
    return Figure(TITLE, f"pack {_title(model)}, warm", "stackctl offline-pack", note,
                  f"cp and sync: {median(other):.1f} s", ratio,
                  "speed at least 0.9, memory at most 200 MiB, temporary disk at most 64 MiB", met)  # fmt: skip


def _measure_repack(pack: Sequence[str]) -> Figure:
    ours, bare = [_run(pack).seconds for _ in range(5)], [_run([STACKCTL, "--help"]).seconds for _ in range(5)]
    value, base = median(ours), median(bare)
    return Figure(TITLE, "pack again without a change", "stackctl offline-pack", f"{value:.2f} s",
                  f"stackctl --help: {base:.2f} s", value / base, "at most 2 s", value <= 2)  # fmt: skip


def _measure_verify(bundle: Path, folder: Path, rounds: int) -> Figure:
    parts = sorted(bundle.glob("part-*.tar"))
    verify = [STACKCTL, "--site", str(folder), "offline-verify", *_trust(folder), str(bundle)]
    ours, other = [], []
    for _ in range(rounds):
        other.append(_time(lambda: [_hash(path) for path in parts]))
        ours.append(_run(verify))
    ratio = median(other) / median(run.seconds for run in ours)
    peak = max(run.peak_mib for run in ours)
    seconds = median(run.seconds for run in ours)
    return Figure(TITLE, "verify", "stackctl offline-verify", f"{seconds:.1f} s, {peak:.0f} MiB of memory",
                  f"hashlib.file_digest of every part: {median(other):.1f} s", ratio,
                  "speed at least 0.9, memory at most 200 MiB", ratio >= 0.9 and peak <= MAX_MEMORY_MIB)  # fmt: skip


def _measure_load(bundle: Path, model: Path, folder: Path, rounds: int) -> Figure:
    ours, other, extra = [], [], []
    parts = sorted(bundle.glob("part-*.tar"))
    for number in range(rounds):
        other.append(_copy(parts, folder / "copy"))
        site = folder / f"site-{number}"
        site.mkdir()
        with _DiskWatch(site) as watch:
            ours.append(_run([STACKCTL, "--site", str(site), "offline-load", *_trust(folder), str(bundle)]))
        extra.append(watch.peak_bytes - _measure_size(site))
        shutil.rmtree(site)
    ratio = median(other) / median(run.seconds for run in ours)
    peak = max(run.peak_mib for run in ours)
    note = f"{_rate(model, ours)}, {peak:.0f} MiB of memory, {max(extra) / MIB:.0f} MiB of temporary disk"
    met = ratio >= 0.85 and peak <= MAX_MEMORY_MIB and max(extra) <= MIB
    return Figure(TITLE, f"load {_title(model)}, verified on the way", "stackctl offline-load", note,
                  f"cp and sync of the parts: {median(other):.1f} s", ratio,
                  "speed at least 0.85, memory at most 200 MiB, no temporary disk", met)  # fmt: skip


def _measure_gzip(pack: Sequence[str], folder: Path) -> Figure:
    """The usual way, tar and gzip, on one GiB: it is too slow for more."""
    model = _make_model(folder / "small" / "bench.gguf", 1024 * MIB, "small")
    argv = [part if part != str(folder / "out") else str(folder / "small-out") for part in pack]
    environment = {"MODELS_DIR": str(model.parent)}
    _run(argv, **environment)
    shutil.rmtree(folder / "small-out")
    ours = _run(argv, **environment)
    packed = folder / "small.tar.gz"
    other = _time(lambda: subprocess.run(["tar", "-czf", packed, "-C", model.parent, model.name], check=True))
    ratio = ours.seconds / other
    size = packed.stat().st_size / model.stat().st_size
    return Figure(TITLE, "pack 1 GiB", "stackctl offline-pack", f"{ours.seconds:.1f} s",
                  f"tar -czf: {other:.1f} s, {size:.0%} of the size", ratio)  # fmt: skip


def _measure_kill(pack: Sequence[str], folder: Path, bundle: Path) -> Figure:
    """What a pack that was killed half way has to write again: what it wrote and its journal does not vouch for."""
    out = folder / "killed"
    argv = [part if part != str(folder / "out") else str(out) for part in pack]
    total = _measure_size(bundle)
    lost = []
    for share in (0.2, 0.4, 0.6, 0.8):
        shutil.rmtree(out, ignore_errors=True)
        with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None and _measure_size(out) < share * total:
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
        (partial,) = out.glob(".*.partial-*")
        journal = Journal.load(partial / JOURNAL)
        lost += [path.stat().st_size - journal.synced.get(path.stem, 0) for path in partial.glob("*.tmp")]
    shutil.rmtree(out)
    worst = max(lost) / MIB
    return Figure(TITLE, "written again after kill -9", "stackctl offline-pack",
                  f"at most {worst:.0f} MiB in four kills",
                  f"the bundle: {total / MIB:.0f} MiB", worst * MIB / total, "at most 64 MiB", worst <= 64)  # fmt: skip


def _measure_deltas(site: Path, pack: Sequence[str], bundle: Path, model: Path, folder: Path) -> list[Figure]:
    delta = [part if part != str(folder / "out") else str(folder / "delta") for part in pack]
    delta += ["--base", str(bundle), "--json"]
    config = _find_carried(_run_json(delta, CONTEXT_LENGTH="256"))
    size = model.stat().st_size
    model.unlink()
    _make_model(model, size, "second")
    metadata = _find_carried(_run_json(delta))
    with model.open("rb") as file:
        header = read_content(file).data_start
    limit = header + size // 100
    return [
        Figure(TITLE, "delta of one changed setting", "stackctl offline-pack --base", f"{config / 1024:.0f} KiB",
               f"the bundle: {size / MIB:.0f} MiB", config / size, "at most 1 MiB", config <= MIB),
        Figure(TITLE, "delta of a GGUF metadata edit", "stackctl offline-pack --base", f"{metadata / 1024:.0f} KiB",
               f"the header: {header / 1024:.0f} KiB", metadata / header, "the header and 1 %", metadata <= limit),
    ]  # fmt: skip


def _find_carried(result: dict[str, object]) -> int:
    return int(str(result["size_bytes"]))


def _trust(folder: Path) -> tuple[str, str]:
    return "--key", str(folder / "bench.pub")


class _DiskWatch:
    """The most bytes that a folder held while a command ran."""

    def __init__(self, folder: Path) -> None:
        self.peak_bytes = 0
        self._folder = folder
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._stopped.wait(0.1):
            self.peak_bytes = max(self.peak_bytes, _measure_size(self._folder))

    def __enter__(self) -> _DiskWatch:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stopped.set()
        self._thread.join()
        self.peak_bytes = max(self.peak_bytes, _measure_size(self._folder))


def _run(argv: Sequence[str], **environment: str) -> Run:
    started = time.perf_counter()
    process = subprocess.Popen(
        argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, **environment}
    )
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{argv}: {said.decode()}")
    return Run(time.perf_counter() - started, _read_peak(usage))


def _read_peak(usage: resource.struct_rusage) -> float:
    return usage.ru_maxrss / 1024


def _run_json(argv: Sequence[str], **environment: str) -> dict[str, object]:
    done = subprocess.run(argv, check=True, capture_output=True, env={**os.environ, **environment})
    value = json.loads(done.stdout)
    assert isinstance(value, dict)
    return value


def _set(site: Path, values: dict[str, str]) -> None:
    path = site / ".env"
    path.write_text(set_values(path.read_text(), values))


def _copy(sources: Sequence[Path], folder: Path) -> float:
    """Seconds until copies are on the disk."""
    folder.mkdir()
    seconds = _time(
        lambda: [subprocess.run(argv, check=True) for argv in (["cp", *map(str, sources), str(folder)], ["sync"])]
    )
    shutil.rmtree(folder)
    return seconds


def _time(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _measure_size(folder: Path) -> int:
    total = 0
    for root, _, files in os.walk(folder):
        for name in files:
            try:
                total += (Path(root) / name).stat().st_blocks * 512
            except FileNotFoundError:  # renamed meanwhile
                continue
    return total


def _rate(model: Path, runs: Sequence[Run]) -> str:
    seconds = median(run.seconds for run in runs)
    return f"{seconds:.1f} s ({model.stat().st_size / MIB / seconds:.0f} MiB/s)"


def _title(model: Path) -> str:
    return f"{model.stat().st_size / 1024 / MIB:.0f} GiB"
