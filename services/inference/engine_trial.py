"""Start an engine, ask it the demo model's question, stop it, and say what came of it.

No engine counts as installed before it has answered once where it is to run: a compiler's mistake, an instruction
that the CPU lacks or a driver that does not fit shows in the first token and not before. In: the engine's command
and environment, the model, a question and its known answer. Out: one JSON object on stdout; exit status 0 when the
known answer came, 1 when not, 2 for a bad command line. Does I/O: starts the engine on a free loopback port and ends
it again. When the engine dies of a signal and gdb is on PATH, it is started a second time to learn in which function.

Standard library only, so that any Python >= 3.11 can run it.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import http.client
import json
import os
import re
import resource
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import Any

CONTEXT = 512
MAX_TOKENS = 64
DEADLINE_S = 120.0  # generous: a busy machine is no broken engine
LOG_LINES = 20
POLL_S = 0.05
STOP_S = 10.0
PR_SET_PDEATHSIG = 1
SHELL_SIGNAL = 128  # what a shell adds to the number of the signal that its program died of
# Memory ran out, or somebody ended it.
PASSING_SIGNALS = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")
WRONG = "answered "
_MEANINGS = {
    "SIGILL": ", an instruction that this CPU does not have",
    "SIGKILL": ", as the kernel does when memory runs out",
}
_COMPLAINT = re.compile(r"error|failed|cannot|unknown|invalid|assert", re.IGNORECASE)
# Frames of the C library between a failed assertion and the function it stands in.
_ABORT_FRAMES = re.compile(r"raise|abort|gsignal|ggml_abort|ggml_print_backtrace|__pthread_kill.*|__GI_.*|std::.*|\?\?")


@dataclass(frozen=True)
class Trial:
    """What one engine did.

    Attributes:
        failure: what the engine did instead of giving the right answer, as a clause that follows its name; empty when
            it gave it.
        is_lasting: whether the engine would fail so again here; a missing library or a busy machine may not stay.
        signal: name of the signal that killed the engine, such as ``SIGSEGV``; empty when none did.
        log: last lines that the engine wrote.
    """

    failure: str = ""
    is_lasting: bool = True
    signal: str = ""
    elapsed_s: float = 0.0
    log: tuple[str, ...] = field(default=())


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the engine on the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Ask an engine the demo model's question.", allow_abbrev=False)
    parser.add_argument("--models", type=Path, required=True, help="folder with demo.gguf and demo.json")
    parser.add_argument("--deadline", type=float, default=DEADLINE_S, help="seconds until it must have answered")
    parser.add_argument("command", nargs="+", help="the engine; its model and address are added")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    trial = try_engine(options.command, options.models, deadline_s=options.deadline)
    print(json.dumps(asdict(trial)))
    return 1 if trial.failure else 0


def try_engine(
    command: Sequence[str],
    models: Path,
    environment: Mapping[str, str] = MappingProxyType({}),
    deadline_s: float = DEADLINE_S,
) -> Trial:
    """Ask an engine once; one that a signal killed is started again under a debugger, where there is one.

    Args:
        models: folder with ``demo.gguf`` and ``demo.json``, which says what it answers.
        environment: variables for the engine beside this process's own.
    """
    known = json.loads((models / "demo.json").read_text(encoding="utf-8"))["answers"][0]
    task = _Task(models / "demo.gguf", str(known["question"]), str(known["answer"]), environment, deadline_s)
    trial = _ask_engine(task, command)
    gdb = shutil.which("gdb")
    if not trial.signal or not gdb:
        return trial
    debugger = (gdb, "-nx", "-q", "-batch", "-ex", "run", "-ex", "backtrace 12", "--args")
    function = find_function(_ask_engine(task, (*debugger, *command), keep_lines=400).log)
    return replace(trial, failure=_describe_death(trial.signal, function)) if function else trial


@dataclass(frozen=True)
class _Task:
    """The question to an engine, and the answer that counts as right."""

    model: Path
    question: str
    answer: str
    environment: Mapping[str, str]
    deadline_s: float


def _ask_engine(task: _Task, command: Sequence[str], keep_lines: int = LOG_LINES) -> Trial:
    """Start the engine, ask, and stop it."""
    port, key = _find_free_port(), secrets.token_urlsafe(16)
    serve = ("--model", str(task.model), "--alias", "demo", "--host", "127.0.0.1", "--port", str(port))
    size = ("--ctx-size", str(CONTEXT), "--parallel", "1")
    started = time.monotonic()
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                [*command, *serve, *size],
                env={**os.environ, **task.environment, "LLAMA_API_KEY": key},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=_limit_child,
            )
        except OSError as error:
            return Trial(f"cannot be started: {error.strerror}", is_lasting=False)
        try:
            failure = _converse(process, port, key, task, started + task.deadline_s)
        finally:
            code = process.poll()
            _stop(process)
        log = _read_end(output, keep_lines)
    return _judge(failure, code, round(time.monotonic() - started, 3), log)


def _judge(failure: str, code: int | None, elapsed_s: float, log: tuple[str, ...]) -> Trial:
    """Put together what the engine said and how it ended.

    Args:
        code: exit code of an engine that ended by itself, None when it did not.
    """
    number = -code if code is not None and code < 0 else (code or 0) - SHELL_SIGNAL
    if code and number in set(signal.Signals):
        name = signal.Signals(number).name
        return Trial(_describe_death(name), name not in PASSING_SIGNALS, name, elapsed_s, log)
    if failure and code is not None:
        said = next((line for line in reversed(log) if _COMPLAINT.search(line)), next(iter(log[-1:]), ""))
        text = f"ended with code {code}" + (f": {said.strip()}" if said else "")
        return Trial(text, is_lasting=False, elapsed_s=elapsed_s, log=log)
    is_lasting = not failure or failure.startswith(WRONG)
    return Trial(failure, is_lasting, elapsed_s=elapsed_s, log=log)


def _describe_death(name: str, function: str = "") -> str:
    place = f" in {function}" if function else ""
    return f"died of {name}{place}{_MEANINGS.get(name, '')}"


def find_function(lines: Sequence[str]) -> str:
    """The function in which a debugger saw the signal, from its backtrace; empty when it names none."""
    for line in lines:
        frame = re.match(r"#\d+\s+(?:0x[0-9a-f]+ in )?(.+?)\s*\(", line)
        if frame and not _ABORT_FRAMES.fullmatch(frame[1]):
            return frame[1]
    return ""


def _converse(process: subprocess.Popen[bytes], port: int, key: str, task: _Task, deadline: float) -> str:
    """Wait until the engine is ready and ask; what is wrong with its answer, empty when it is the right one."""
    while (status := _ask(port, "/health", key, None, 5.0)[0]) != 200:
        if process.poll() is not None:
            return "ended before it was ready"
        if time.monotonic() > deadline:
            return f"was not ready in {task.deadline_s:g} s (/health: {status or 'no answer'})"
        time.sleep(POLL_S)
    messages = [{"role": "user", "content": task.question}]
    body = {"model": "demo", "messages": messages, "temperature": 0, "max_tokens": MAX_TOKENS}
    status, text = _ask(port, "/v1/chat/completions", key, body, max(deadline - time.monotonic(), 1.0))
    if status != 200:
        _wait_for_end(process)  # a connection breaks an instant before its process is gone
        return f"answered {status}: {text[:200]}" if status else "gave no answer"
    try:
        answer = str(json.loads(text)["choices"][0]["message"]["content"]).strip()
    except (ValueError, KeyError, IndexError, TypeError):
        return f"{WRONG}with what is no completion: {text[:200]}"
    return "" if answer == task.answer else f"{WRONG}'{answer[:80]}' instead of '{task.answer}'"


def _ask(port: int, path: str, key: str, body: dict[str, Any] | None, timeout_s: float) -> tuple[int, str]:
    """Ask one question; the answer's HTTP status (0 when nothing answered) and its text."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    try:
        connection.request("POST" if body else "GET", path, json.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException):  # a server that dies breaks off in the middle of a line, too
        return 0, ""
    finally:
        connection.close()


def _wait_for_end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(1.0)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _read_end(output: Any, lines: int) -> tuple[str, ...]:
    output.seek(0)
    text = output.read().decode(errors="replace")
    return tuple(line.rstrip() for line in text.splitlines() if line.strip())[-lines:]


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _limit_child() -> None:
    """Limit the child process: no core file, and an end when this program is killed, so that no engine is left."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
