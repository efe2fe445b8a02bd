"""Give findings the file and line of the setting they are about, where their check did not know it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from stackctl.core.settings.dotenv import DotenvFile
from stackctl.core.settings.names.table import name_keys
from stackctl.core.settings.sources import Origin
from stackctl.core.text.yamltree import YamlTree
from stackctl.errors import ConfigError, Finding


def locate_findings(
    error: ConfigError, dotenv: DotenvFile, origins: Mapping[str, Origin], tree: YamlTree | None
) -> ConfigError:
    """The error with a place for each finding whose subject stands in `.env` or `stack.yml`."""
    findings = [_locate(finding, dotenv, origins, tree) for finding in error.findings]
    findings.sort(key=lambda finding: (finding.file, finding.line))
    return type(error)(error.message, error.hint, findings)


def _locate(finding: Finding, dotenv: DotenvFile, origins: Mapping[str, Origin], tree: YamlTree | None) -> Finding:
    if finding.line:
        return finding
    subject = finding.subject
    # check_model_files puts the model file first in its text; the setting's own place is what a person edits.
    if subject in dotenv.lines and (origins.get(subject) is Origin.DOTENV or subject in name_keys()):
        return replace(finding, file=dotenv.path, line=dotenv.lines[subject], message=_join(finding))
    if tree is not None:
        for path, line in tree.lines.items():
            if path and ".".join(str(part) for part in path) == subject:
                return replace(finding, file=tree.path, line=line, message=_join(finding))
    return finding


def _join(finding: Finding) -> str:
    """A finding that keeps the file it was about, when that was not the configuration itself."""
    is_other = finding.file and not finding.file.endswith((".env", "stack.yml"))
    return f"{finding.file}: {finding.message}" if is_other else finding.message
