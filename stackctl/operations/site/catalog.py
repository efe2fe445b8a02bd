"""The catalog that came with stackctl, and what it knows of a file that is missing.

In: the project's files. Out: a ``Catalog``, findings. Reads through its effects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from stackctl.core.models.catalog import CATALOG_FILE, Catalog, parse_catalog
from stackctl.core.models.files import MISSING, bare_name
from stackctl.errors import ConfigError, Finding
from stackctl.operations.effects import Effects


def load_catalog(effects: Effects) -> Catalog:
    """The catalog that came with stackctl.

    Raises:
        ConfigError: the catalog is missing or not usable.
    """
    text = effects.files.load_text(effects.paths.data_root / CATALOG_FILE)
    if text is None:
        raise ConfigError(f"{CATALOG_FILE} is missing from {effects.paths.data_root}.", "install stackctl again")
    return parse_catalog(text)


def suggest_pulls(effects: Effects, findings: Sequence[Finding]) -> list[Finding]:
    """The findings; where a missing file is one of the catalog, the hint becomes the command that brings it."""
    missing = [finding for finding in findings if finding.message == MISSING and not finding.hint.startswith("set ")]
    if not missing:
        return list(findings)
    names = load_catalog(effects).list_names()
    known = {finding: names.get(bare_name(finding.file), "") for finding in missing}
    hints = {finding: f"run 'stackctl models pull {name}'" for finding, name in known.items() if name}
    return [replace(finding, hint=hints.get(finding, finding.hint)) for finding in findings]
