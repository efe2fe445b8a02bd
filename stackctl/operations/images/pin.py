"""``images pin``: ask registries which image a tag names now, and write its digest to the site's ``images.lock``.

In: the site's settings. Out: a ``PinResult``. Does I/O through its effects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from stackctl.core.images.pins import LOCK_FILE, PinChange, compare_pins, list_tagged, render_pins
from stackctl.errors import ConfigError, Finding, ImageUnavailable, StackError
from stackctl.operations.effects import Effects
from stackctl.operations.engine.engines import choose_compose_engine
from stackctl.operations.site.image_choice import choose_tagged_images, load_pins
from stackctl.operations.site.load_settings import load_release, load_settings

FindDigests = Callable[[Sequence[str]], Mapping[str, "str | StackError"]]


@dataclass(frozen=True, slots=True)
class PinResult:
    """What became of the site's pins; ``path`` is that of ``images.lock``."""

    path: str
    changes: tuple[PinChange, ...]

    @property
    def is_changed(self) -> bool:
        """Whether the lock's text changes, or would."""
        return any(change.status != "unchanged" for change in self.changes)


def run_pin(effects: Effects, find_digests: FindDigests, *, dry_run: bool) -> PinResult:
    """Write the digest of every image that comes from a registry, for all GPUs, to the site's ``images.lock``.

    Args:
        find_digests: asks registries; gives each name's digest, or why there is none.
        dry_run: whether to ask and write nothing.

    Raises:
        ConfigError: the settings, or the lock, cannot be read, or nothing here can be pinned.
        ImageUnavailable: no registry gave an image; names all of them; nothing was written.
    """
    if load_release(effects):
        message = "The installed release says which images run, by the digests in its signed manifest."
        raise ConfigError(message, "pin them where the bundle is packed")
    resolved, stackfile = load_settings(effects)
    before = load_pins(effects)
    names = list_tagged(choose_tagged_images(effects, resolved, stackfile, choose_compose_engine(resolved.values)))
    if not names and not before:
        message = "No image of this site is taken from a registry by tag: all are built here or named by digest."
        raise ConfigError(message, "pin BASE_IMAGE by naming its digest in .env")
    answers = find_digests(names)
    failed = {name: answer for name, answer in answers.items() if isinstance(answer, StackError)}
    if failed:
        findings = [Finding(name, answer.message, answer.hint) for name, answer in failed.items()]
        message = f"Images could not be pinned; {LOCK_FILE} is as it was."
        raise ImageUnavailable(message, findings[0].hint, findings)
    after = {name: str(answer) for name, answer in answers.items()}
    result = PinResult(str(effects.paths.site / LOCK_FILE), compare_pins(before, after))
    if result.is_changed and not dry_run:
        effects.files.save_text(effects.paths.site / LOCK_FILE, render_pins(after), 0o644)
    return result
