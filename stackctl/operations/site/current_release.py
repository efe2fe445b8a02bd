"""The release that is current, read for everything that runs the site.

In: the text of a manifest. Out: a ``Release``. Reads through its effects.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from stackctl.core.bundle.format.installed_paths import FILES, OFFLINE_FOLDER, SETTINGS_FILE, STACK_FILE
from stackctl.core.bundle.format.manifest import MANIFEST_NAME, Manifest
from stackctl.core.bundle.format.manifest_reader import parse_manifest
from stackctl.core.bundle.load.release import Release, release_folder
from stackctl.errors import ConfigError, Finding
from stackctl.operations.effects import Effects


def read_release(effects: Effects, manifest_text: str) -> Release:
    """Put a release together from its manifest and its files.

    Raises:
        BundleError: the release's manifest is damaged.
        ConfigError: the site has a `stack.yml` of its own that says something else.
    """
    store = effects.paths.site / OFFLINE_FOLDER
    manifest = parse_manifest(manifest_text.encode(), str(store / MANIFEST_NAME))
    findings = tuple(check_own_stack(effects, manifest))
    if findings:
        raise ConfigError("The site has a stack.yml beside that of its release.", findings[0].hint, findings)
    # Not through 'current': all that is read belongs together, whatever is loaded meanwhile.
    folder = store / release_folder(manifest.short_id)
    return Release(
        manifest,
        str(folder),
        str(store),
        stack_text=effects.files.load_text(folder / FILES / STACK_FILE) or "",
        settings_text=effects.files.load_text(folder / FILES / SETTINGS_FILE) or "",
    )


def check_own_stack(effects: Effects, manifest: Manifest) -> Iterator[Finding]:
    """A finding where the site's own `stack.yml` says something else than the release's, which governs."""
    path = effects.paths.site / "stack.yml"
    text = effects.files.load_text(path)
    packed = next((file.sha256 for file in manifest.files if file.path == STACK_FILE), "")
    if text is None or hashlib.sha256(text.encode()).hexdigest() == packed:
        return
    # What 'stackctl init' wrote and nobody edited says nothing; in a checkout that is the operator's own file.
    if effects.paths.site != effects.paths.data_root and text == effects.files.load_text(
        effects.paths.data_root / "stack.yml"
    ):
        return
    message = "differs from the release's, which is the one that counts"
    yield Finding(str(path), message, f"move it away: mv '{path}' '{path}.before'")
