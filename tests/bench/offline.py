"""The offline group: packing, verifying and loading a bundle against plain tools that move the same bytes."""

from __future__ import annotations

from pathlib import Path

from stackctl.core.settings.dotenv import set_values
from tests.bench.commands import STACKCTL, run
from tests.bench.disk import MIB
from tests.bench.offline_loading import measure_load, measure_verify
from tests.bench.offline_model import make_model
from tests.bench.offline_packing import (
    Packer,
    measure_deltas,
    measure_gzip,
    measure_kill,
    measure_pack,
    measure_repack,
)
from tests.bench.report import Figure


def measure_offline(site: Path, folder: Path, gib: int, rounds: int = 3) -> list[Figure]:
    """All figures of one bundle of ``gib`` GiB of model.

    Args:
        site: in the process runtime.
        folder: on the disk to measure, with room for four times the model.
    """
    model = make_model(folder / "models" / "bench.gguf", gib * 1024 * MIB, "first")
    size = model.stat().st_size
    run([STACKCTL, "--site", str(site), "offline-keygen", "--out", str(folder / "bench")])
    run([STACKCTL, "--site", str(folder), "init"])
    path = site / ".env"
    values = {"CHAT_MODEL": model.name, "EMBEDDING_MODEL": "none", "MODELS_DIR": str(model.parent)}
    path.write_text(set_values(path.read_text(), values))
    packer = Packer(site, folder, folder / "bench.key")
    packer.warm_up()
    first = measure_pack(packer, model, rounds)
    bundle = packer.find_bundle()
    return [
        first,
        measure_repack(packer),
        measure_verify(packer, bundle, rounds),
        measure_load(packer, bundle, size, rounds),
        measure_gzip(packer),
        measure_kill(packer, bundle),
        *measure_deltas(packer, bundle, model),
    ]
