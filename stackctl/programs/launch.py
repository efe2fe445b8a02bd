"""Start one supervised process with its secrets: ``launch.py SECRETS SERVICE START``.

START is JSON: ``{"argv": [command, argument ...], "env": {name: value}}``, and ``"thin_log": true`` for an engine whose
log says too much: its output then passes thin_log.py, which ends with it; and ``"end_orphans": true`` for one whose
processes outlive their first, when that is killed.
The supervisor runs this file by path, with the standard library only. It reads the service's secrets from the
JSON file SECRETS (service to variables), so that they stand in no configuration file and in no argument list, asks
the kernel to end the process should its supervisor die and to write no core of it, writes into the log who starts here
and when, and becomes the command.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import time

PR_SET_PDEATHSIG = 1
# What was killed gives its memory back within this time.
ENDED_S = 10.0
# A core is the whole memory, prompts too. This is less than the smallest one, and the one limit at which Linux hands
# none to a program that cores are piped to; it does so at 0.
NO_CORE = 1


def follow_parent() -> None:
    """Ask for SIGTERM when the supervisor dies, so that no process is ever left without one. Linux only."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it died before the kernel knew
        sys.exit(f"launch: the supervisor (process {parent}) is gone")


def leave_no_core() -> None:
    """Have the kernel write no core of the command, or of what it starts."""
    _, highest = resource.getrlimit(resource.RLIMIT_CORE)
    limit = 0 if highest == 0 else NO_CORE
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))


def thin_log() -> None:
    """Start the program that thins the log as this process's child, and write into it from now on.

    The child is the filter, so that this process keeps its number, its signals and its parent.
    """
    read_end, write_end = os.pipe()
    if os.fork() == 0:
        os.dup2(read_end, 0)
        os.close(read_end)
        os.close(write_end)
        program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "thin_log.py")  # noqa: PTH118, PTH100, PTH120
        os.execv(sys.executable, [sys.executable, "-I", "-S", program])  # noqa: S606
    for number in (1, 2):
        os.dup2(write_end, number)
    os.close(read_end)
    os.close(write_end)


def end_orphans() -> None:
    """End processes of earlier starts that are left without their group's leader: they hold a GPU's memory.

    Each service has a process group of its own in the supervisor's session, and works in the site's folder. A
    process's variables are no mark: programs that set their title write over them. Linux only.
    """
    if not sys.platform.startswith("linux"):
        return
    told = [pid for pid in list_orphans() if end(pid)]
    deadline = time.monotonic() + ENDED_S
    while told and time.monotonic() < deadline and set(told) & set(list_orphans()):
        time.sleep(0.05)
    if told:
        sys.stderr.write(f"launch: ended what an earlier start left behind: {', '.join(map(str, told))}\n")


def list_orphans() -> list[int]:
    """Processes of this session that work in this folder, and whose group has lost its leader."""
    session, folder = os.getsid(0), os.getcwd()  # noqa: PTH109
    found = []
    for name in filter(str.isdecimal, os.listdir("/proc")):  # noqa: PTH208
        try:
            if os.getsid(int(name)) != session or is_alive(os.getpgid(int(name))):
                continue
            if os.readlink(f"/proc/{name}/cwd") == folder:  # noqa: PTH115
                found.append(int(name))
        except OSError:  # it has ended
            continue
    return found


def is_alive(pid: int) -> bool:
    """Whether there is such a process, which may only wait to be collected."""
    return os.path.exists(f"/proc/{pid}/stat")  # noqa: PTH110


def end(pid: int) -> bool:
    """Kill a process; whether it was there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        return False
    return True


def main() -> None:
    """Parse, take the secrets, become the command."""
    if len(sys.argv) != 4:
        sys.exit("launch: expected SECRETS SERVICE START")
    secrets_file, service, text = sys.argv[1:]
    start = json.loads(text)
    follow_parent()
    leave_no_core()
    if start.get("end_orphans"):
        end_orphans()
    if start.get("thin_log"):
        thin_log()
    os.environ.update(start["env"])
    with open(secrets_file, encoding="utf-8") as file:  # noqa: PTH123  # pathlib would triple this file's start-up
        os.environ.update(json.load(file).get(service, {}))
    command = start["argv"]
    when = time.strftime("%Y-%m-%d %H:%M:%S%z")
    sys.stderr.write(f"launch: {service} starts as process {os.getpid()}, {when}\n")
    sys.stderr.flush()
    try:
        os.execvp(command[0], command)  # noqa: S606  # no shell is the point
    except OSError as error:
        sys.exit(f"launch: {command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
