"""A GPU that is not there, for real processes: a driver's program that a test decides, and an engine that names a GPU.

The engine is a real one on the CPU, at the verbosity that the stack asks for; of its log only the words for where the
model lies are other ones. Does I/O: writes two programs into a folder for PATH.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from stackctl.adapters.files.site_files import find_cache_dir, find_data_root
from stackctl.adapters.process import environments
from stackctl.core.engine.engines import ENGINE_FOLDER, XLLAMACPP

HELD_MIB = 900

_DRIVER = """#!/bin/sh
case "$1" in
--query-compute-apps*) [ -e '{folder}/lost' ] || for file in '{folder}'/held/*; do
    [ -e "$file" ] && echo "${{file##*/}}, {held}"; done ;;
--query-gpu*) echo '0, GPU-emulated, Emulated card, 580.65.06, 24576, 1024, 9.0' ;;
-L) echo 'GPU 0: Emulated card (UUID: GPU-emulated)' ;;
*) echo '| NVIDIA-SMI 580.65.06    Driver Version: 580.65.06    CUDA Version: 13.0 |' ;;
esac
exit 0
"""
_ENGINE = """#!{python}
import os, pathlib, sys
folder = pathlib.Path({folder!r})
read_end, write_end = os.pipe()
if os.fork() == 0:
    os.close(write_end)
    for line in open(read_end, "rb"):
        if b"model buffer size" in line and b"CPU" in line:
            sys.stdout.buffer.write(b"0.00.000.001 I load_tensors: offloaded 5/5 layers to GPU\\n")
            line = line.replace(b"CPU_Mapped", b"CUDA0").replace(b"CPU", b"CUDA0")
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
    os._exit(0)
os.close(read_end)
os.dup2(write_end, 1)
os.dup2(write_end, 2)
(folder / "held" / str(os.getpid())).touch()
os.execv({engine!r}, [{engine!r}, {server!r}, *sys.argv[1:]])
"""


@dataclass(frozen=True)
class EmulatedGpu:
    """The programs, and what the driver says.

    Attributes:
        programs: folder to put first on PATH.
    """

    programs: Path
    folder: Path

    @classmethod
    def create(cls, folder: Path) -> EmulatedGpu:
        """Write the programs; installs the prebuilt engine if this is the first that is used."""
        (folder / "held").mkdir(parents=True)
        programs = folder / "programs"
        programs.mkdir()
        service = find_data_root() / ENGINE_FOLDER
        assert XLLAMACPP.lock_file
        assert XLLAMACPP.launcher
        lock = service / XLLAMACPP.lock_file
        environment = environments.find_environment(find_cache_dir(os.environ), lock, XLLAMACPP.install_variables)
        environments.make_environment(environment, lock, XLLAMACPP.install_variables, "", print)
        engine = str(environment / "bin" / "python")
        texts = {
            "nvidia-smi": _DRIVER.format(folder=folder, held=HELD_MIB),
            "llama-server": _ENGINE.format(
                python=sys.executable, folder=str(folder), engine=engine, server=str(service / XLLAMACPP.launcher)
            ),
        }
        for name, text in texts.items():
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        return cls(programs, folder)

    def lose(self) -> None:
        """From now on the driver counts nothing for anybody."""
        (self.folder / "lost").touch()
