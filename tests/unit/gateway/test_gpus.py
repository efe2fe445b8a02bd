"""What drivers say of GPUs, as values; a driver that does not answer has none."""

from __future__ import annotations

from pathlib import Path

import pytest
from gateway.gpus import GpuReading, parse_nvidia, read_amd, read_nvidia
from hypothesis import given
from hypothesis import strategies as st

MIB = 1 << 20
ROW = "GPU-1, NVIDIA H100, 1024, 81559, 37, 45"


def test_a_row_of_nvidia_s_is_a_gpu() -> None:
    assert parse_nvidia(f"{ROW}\n") == [GpuReading("GPU-1", "NVIDIA H100", 1024 * MIB, 81559 * MIB, 0.37, 45.0)]


def test_what_the_driver_does_not_say_is_left_out() -> None:
    row = "GPU-2, A card, [N/A], 100, [Not Supported], [N/A]"
    assert parse_nvidia(row) == [GpuReading("GPU-2", "A card", None, 100 * MIB, None, None)]


@given(st.text(max_size=80))
def test_other_lines_are_no_gpus(text: str) -> None:
    assert len(parse_nvidia(text)) <= len(text.splitlines())
    assert parse_nvidia("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.") == []


def test_without_the_program_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read_nvidia() == []


def test_amd_s_driver_is_read_where_it_shows_them(tmp_path: Path) -> None:
    device = tmp_path / "card1" / "device"
    device.mkdir(parents=True)
    for name, text in (("vendor", "0x1002"), ("mem_info_vram_total", "1000"), ("mem_info_vram_used", "10"),
                       ("gpu_busy_percent", "50")):  # fmt: skip
        (device / name).write_text(f"{text}\n")
    other = tmp_path / "card0" / "device"
    other.mkdir(parents=True)
    (other / "vendor").write_text("0x10de\n")
    assert read_amd(tmp_path) == [GpuReading("card1", "card1", 10.0, 1000.0, 0.5)]
    assert read_amd(tmp_path / "none") == []
