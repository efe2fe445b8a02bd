"""Packing a model against ``cp`` and ``tar -czf`` of it; what a repack, a kill and a delta cost."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from stackctl.adapters.bundle.parts_writer import JOURNAL, Journal
from stackctl.core.models.gguf_walk import read_content
from tests.bench.commands import STACKCTL, Run, copy, find_peak, find_seconds, run, run_json, run_shell, write_rate
from tests.bench.disk import MIB, DiskWatch, measure_size
from tests.bench.offline_model import make_model
from tests.bench.report import Figure

TITLE = "Offline bundles"
MAX_MEMORY_MIB = 200
_PACK, _DELTA = "stackctl offline-pack", "stackctl offline-pack --base"


@dataclass(frozen=True, slots=True)
class Packer:
    """Packs one site's stack.

    Attributes:
        folder: on the disk to measure; what was packed and all that is compared with it lie there.
        key: the packer's secret key; its public half lies beside it.
    """

    site: Path
    folder: Path
    key: Path

    @property
    def out(self) -> Path:
        """Where it packs to."""
        return self.folder / "out"

    def find_bundle(self) -> Path:
        """The only bundle there, after the first pack."""
        (found,) = (path for path in self.out.iterdir() if path.is_dir())
        return found

    @property
    def trust(self) -> tuple[str, str]:
        """The options with which a site trusts the bundle."""
        return "--key", str(self.key.with_suffix(".pub"))

    def build_argv(self, out: Path | None = None, *options: str) -> list[str]:
        """The command line that packs, to another folder where one is given."""
        argv = [STACKCTL, "--site", str(self.site), "offline-pack", "--out", str(out or self.out)]
        return [*argv, "--python", "3.11", "--key", str(self.key), *options]

    def warm_up(self) -> None:
        """Pack once and throw it away: digests and wheels are remembered from here on."""
        run(self.build_argv())
        shutil.rmtree(self.out)


def measure_pack(packer: Packer, model: Path, rounds: int) -> Figure:
    """A warm pack of everything against a copy of the model, both until the bytes are on the disk.

    The bundle stays in ``packer.out`` for the other figures.
    """
    ours: list[Run] = []
    other, extra = [], []
    for _ in range(rounds):
        shutil.rmtree(packer.out, ignore_errors=True)
        other.append(copy([model], packer.folder / "copy"))
        with DiskWatch(packer.out) as watch:
            ours.append(run(packer.build_argv()))
        extra.append(watch.peak_bytes - measure_size(packer.out))
    ratio, peak, size = median(other) / find_seconds(ours), find_peak(ours), model.stat().st_size
    rate = write_rate(size, find_seconds(ours))
    note = f"{rate}, {peak:.0f} MiB of memory, {max(extra) / MIB:.0f} MiB of temporary disk"
    met = ratio >= 0.9 and peak <= MAX_MEMORY_MIB and max(extra) <= 64 * MIB
    return Figure(TITLE, f"pack {size / 1024 / MIB:.0f} GiB, warm", _PACK, note, f"cp and sync: {median(other):.1f} s",
                  ratio, "speed at least 0.9, memory at most 200 MiB, temporary disk at most 64 MiB", met)  # fmt: skip


def measure_repack(packer: Packer) -> Figure:
    """What it costs to find that nothing changed."""
    value = find_seconds([run(packer.build_argv()) for _ in range(5)])
    base = find_seconds([run([STACKCTL, "--help"]) for _ in range(5)])
    return Figure(TITLE, "pack again without a change", _PACK, f"{value:.2f} s", f"stackctl --help: {base:.2f} s",
                  value / base, "at most 2 s", value <= 2)  # fmt: skip


def measure_gzip(packer: Packer) -> Figure:
    """The usual way, tar and gzip, on one GiB: it is too slow for more."""
    model = make_model(packer.folder / "small" / "bench.gguf", 1024 * MIB, "small")
    out, packed = packer.folder / "small-out", packer.folder / "small.tar.gz"
    run(packer.build_argv(out), MODELS_DIR=str(model.parent))
    shutil.rmtree(out)
    ours = run(packer.build_argv(out), MODELS_DIR=str(model.parent)).seconds
    other = run_shell('tar -czf "$1" -C "$2" "$3"', str(packed), str(model.parent), model.name)
    share = packed.stat().st_size / model.stat().st_size
    return Figure(TITLE, "pack 1 GiB", _PACK, f"{ours:.1f} s", f"tar -czf: {other:.1f} s, {share:.0%} of the size",
                  ours / other)  # fmt: skip


def measure_kill(packer: Packer, bundle: Path) -> Figure:
    """What a pack that was killed half way has to write again: what it wrote and its journal does not vouch for."""
    out, total, lost = packer.folder / "killed", measure_size(bundle), []
    for share in (0.2, 0.4, 0.6, 0.8):
        shutil.rmtree(out, ignore_errors=True)
        argv = packer.build_argv(out)
        with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None and measure_size(out) < share * total:
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
        (partial,) = out.glob(".*.partial-*")
        journal = Journal.load(partial / JOURNAL)
        lost += [path.stat().st_size - journal.synced.get(path.stem, 0) for path in partial.glob("*.tmp")]
    shutil.rmtree(out)
    worst = max(lost)
    return Figure(TITLE, "written again after kill -9", _PACK, f"at most {worst / MIB:.0f} MiB in four kills",
                  f"the bundle: {total / MIB:.0f} MiB", worst / total, "at most 64 MiB", worst <= 64 * MIB)  # fmt: skip


def measure_deltas(packer: Packer, bundle: Path, model: Path) -> list[Figure]:
    """What travels of a changed setting, and of a changed text in the model's header, which stays changed."""
    argv = packer.build_argv(packer.folder / "delta", "--base", str(bundle), "--json")
    config = int(str(run_json(argv, CONTEXT_LENGTH="256")["size_bytes"]))
    size = model.stat().st_size
    model.unlink()
    make_model(model, size, "second")
    metadata = int(str(run_json(argv)["size_bytes"]))
    with model.open("rb") as file:
        header = read_content(file).data_start
    return [
        Figure(TITLE, "delta of one changed setting", _DELTA, f"{config / 1024:.0f} KiB",
               f"the bundle: {size / MIB:.0f} MiB", config / size, "at most 1 MiB", config <= MIB),
        Figure(TITLE, "delta of a GGUF metadata edit", _DELTA, f"{metadata / 1024:.0f} KiB",
               f"the header: {header / 1024:.0f} KiB", metadata / header, "the header and 1 %",
               metadata <= header + size // 100),
    ]  # fmt: skip
