"""Where the fake world is, and where the project's own files really are."""

from __future__ import annotations

from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
SITE = Path("/site")
DATA_ROOT = Path("/opt/stackctl")
