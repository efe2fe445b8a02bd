"""HTTP from inside a container, by a program run in it: the engines' network has no way in from this machine."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from stackctl.adapters.docker.container_exec import run_inside
from stackctl.core.stack.runtime import Answer, read_probe

if TYPE_CHECKING:
    from docker.models.containers import Container

    from stackctl.core.apps.app import AppService

# Prints the status and then the body. The key goes to curl on its standard input, to Python in the
# environment: an argument list can be read by every user of the machine. Neither asks a proxy, which Docker may have
# given the container.
_CURL = (
    'printf \'header = "Authorization: Bearer %s"\\n\' "$(printenv "$3")" | '
    'curl --silent --noproxy "*" --config - --max-time "$1" --write-out "\\n%{http_code}" "$2"'
)
_PYTHON = """
import os, sys, urllib.request, urllib.error
request = urllib.request.Request(sys.argv[2], headers={"Authorization": "Bearer " + os.environ[sys.argv[3]]})
try:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    answer = opener.open(request, timeout=float(sys.argv[1]))
except urllib.error.HTTPError as error:
    answer = error
sys.stdout.write(answer.read().decode() + "\\n" + str(answer.status))
"""


def run_probe(container: Container, app: AppService) -> Answer:
    """Ask the service of an app by its probe, which ends by itself within a few seconds."""
    from docker.errors import APIError  # imported late, as in compose_runtime

    try:
        return read_probe(run_inside(container, ["/bin/sh", "-c", app.probe]))
    except APIError as error:
        return Answer(0, error=error.explanation or str(error))


def fetch_inside(container: Container, url: str, key_variable: str, *, uses_curl: bool, timeout_s: float) -> Answer:
    """Ask an engine in its own container, with the key from that container's environment.

    Args:
        key_variable: variable that holds the key there.
        uses_curl: whether the image has curl (llama.cpp's) or Python (ours).
    """
    from docker.errors import APIError  # imported late, as in compose_runtime

    command = ["sh", "-c", _CURL, "sh"] if uses_curl else ["python3", "-c", _PYTHON]
    started = time.monotonic()
    try:
        done = run_inside(container, [*command, f"{timeout_s:g}", url, key_variable])
    except APIError as error:
        # It died or was removed since it was looked at; that is an answer about it, not a failure of ours.
        return Answer(0, error=error.explanation or str(error), elapsed_s=time.monotonic() - started)
    elapsed_s = time.monotonic() - started
    body, _, status = done.stdout.rpartition("\n")
    if done.code or not status.isdigit() or status == "000":
        said = done.stderr.strip().splitlines()
        return Answer(0, error=said[-1] if said else "nothing answers on its port", elapsed_s=elapsed_s)
    return Answer(int(status), body, elapsed_s=elapsed_s)
