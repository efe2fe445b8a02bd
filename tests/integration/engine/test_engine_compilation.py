"""What the build recipe makes of a file that this machine's compiler would break."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

RECIPE = Path(__file__).parents[3] / "services" / "inference" / "llama_cpp_build.cmake"

# The shape of llama.cpp's tree, as far as the recipe knows it.
PROJECT = """
cmake_minimum_required(VERSION 3.19)
project("llama.cpp" CXX)
add_subdirectory(ggml/src)
"""
LIBRARY = """
add_library(ggml-cpu STATIC ggml-cpu/amx/mmq.cpp)
target_compile_options(ggml-cpu PRIVATE -O3 -march=sapphirerapids)
"""
# Configures AMX's tiles as its manual says: 64 bytes that one instruction reads.
SOURCE = """
#include <cstdint>
#include <immintrin.h>

struct TileConfiguration {
    uint8_t palette;
    uint8_t start_row;
    uint8_t reserved[14];
    uint16_t bytes_of_a_row[16];
    uint8_t rows[16];
};

void multiply(int count) {
    alignas(64) TileConfiguration tiles = {};
    tiles.palette = 1;
    for (int tile = 0; tile < 8; ++tile) {
        tiles.bytes_of_a_row[tile] = 64;
        tiles.rows[tile] = 16;
    }
    _tile_loadconfig(&tiles);
    for (int round = 0; round < count; ++round) {
        _tile_dpbssd(0, 1, 2);
    }
}
"""
ROW_BYTES_AT, ROWS_AT = 16, 48


@pytest.mark.skipif(platform.machine() != "x86_64", reason="AMX is x86-64's")
@pytest.mark.skipif(not all(map(shutil.which, ("cmake", "g++", "objdump"))), reason="needs cmake, g++ and objdump")
def test_the_whole_tile_configuration_is_in_memory_when_amx_reads_it(tmp_path: Path) -> None:
    source = tmp_path / "ggml" / "src" / "ggml-cpu" / "amx" / "mmq.cpp"
    source.parent.mkdir(parents=True)
    source.write_text(SOURCE, encoding="utf-8")
    (tmp_path / "CMakeLists.txt").write_text(PROJECT, encoding="utf-8")
    (tmp_path / "ggml" / "src" / "CMakeLists.txt").write_text(LIBRARY, encoding="utf-8")
    tree = tmp_path / "build"
    run("cmake", "-S", str(tmp_path), "-B", str(tree), f"-DCMAKE_PROJECT_llama.cpp_INCLUDE={RECIPE}")
    run("cmake", "--build", str(tree))
    code = run("objdump", "--disassemble", "--no-show-raw-insn", str(next(tree.rglob("libggml-cpu.a"))))
    start, stored = find_stores(code)
    assert {start + ROW_BYTES_AT, start + ROWS_AT} <= stored


def find_stores(code: str) -> tuple[int, set[int]]:
    """Where the configuration is, as an offset from the stack pointer, and the offsets that are written before."""
    before, found = code.split("ldtilecfg", 1)
    address = re.match(r"\s+(-?0x[0-9a-f]+)?\(%rsp\)", found)
    assert address, found[:100]
    stored = re.findall(r"\tv?mov\w*\s+[^(]*,(-?0x[0-9a-f]+)?\(%rsp\)", before)
    return int(address[1] or "0", 16), {int(offset or "0", 16) for offset in stored}


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
