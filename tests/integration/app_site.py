"""A running stack with apps, as processes, and what health says of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration.stack_site import Site
from tests.site_folders import make_site_folder


@contextmanager
def run_app_site(folder: Path, apps: str, **settings: str) -> Iterator[Site]:
    """Run it until the end of the block."""
    site = Site.create(folder, STACK_APPS=apps, **settings)
    try:
        make_site_folder(folder)  # again: what its apps need is made now
        site.run("up")
        yield site
    finally:
        site.stop()


def find_result(site: Site, layer: str, subject: str = "") -> tuple[str, str]:
    """Status and detail of a layer's first result, or of the one of this subject."""
    results = [item for item in site.load_health()["results"] if item["layer"] == layer]
    return next((item["status"], item["detail"]) for item in results if subject in ("", item["subject"]))
