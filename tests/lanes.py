"""Which tests run one after the other in one process of pytest-xdist's.

Those that share what is made once for many (containers, compiled engines, the running stack), and otherwise those of
one file. Not xdist's own groups: those of 3.8 have no effect with pytest 9.2, which keeps node ids elsewhere.
"""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

DOCKER, ENGINES, STACK, TOOLS, AGENTS = "docker", "engines", "stack", "tools", "agents"
# The long ones first.
LANES = (DOCKER, ENGINES, STACK, TOOLS, AGENTS)
_LANE_OF_FOLDER = {"tests/docker/": DOCKER, "tests/integration/agents/": AGENTS}
_LANE_OF_FILE = {
    "tests/integration/engine/test_engines.py": ENGINES,
    "tests/integration/run/test_process_runtime.py": STACK,
    "tests/integration/bundle/test_offline_prove.py": STACK,
    "tests/integration/gateway/test_clients.py": STACK,
    "tests/integration/page/test_page_in_browser.py": STACK,
    "tests/integration/page/test_hostile_answers.py": STACK,
    "tests/integration/gateway/test_answers.py": TOOLS,
    "tests/integration/gateway/test_lanes.py": TOOLS,
    "tests/integration/gateway/test_leaving.py": TOOLS,
    "tests/integration/gateway/test_tool_calls.py": TOOLS,
}


def find_lane(node_id: str) -> str:
    """The lane of a test by its node id; a file outside ``LANES`` is a lane of its own."""
    file = node_id.partition("::")[0]
    for folder, lane in _LANE_OF_FOLDER.items():
        if file.startswith(folder):
            return lane
    return _LANE_OF_FILE.get(file, file)


class Lanes(LoadScopeScheduling):  # type: ignore[misc]
    """Shares lanes out to processes."""

    def _split_scope(self, nodeid: str) -> str:
        return find_lane(nodeid)
