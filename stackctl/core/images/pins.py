"""Images named by digest: the site's ``images.lock``, and what it makes of the images to run. Pure.

A tag is a name that its registry may give to another image tomorrow; a digest is the image. The lock has one line an
image, ``name:tag@sha256:...``, which is also what Compose and ``docker pull`` are given: the tag stays for people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from stackctl.core.images.reference import parse_reference
from stackctl.core.stack.image_choice import Images
from stackctl.errors import BundleError, ConfigError, Finding, Severity, raise_config_error

LOCK_FILE = "images.lock"
PIN_COMMAND = "stackctl images pin"
_HEADER = f"# Digests of this site's images, written by '{PIN_COMMAND}'. Without this file tags alone decide.\n"

# Fully spelled name with its tag to digest.
Pins = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PinChange:
    """What became of one image's pin.

    Attributes:
        before, digest: digest before and now, as ``sha256:...``; empty where there was, or is, none.
        status: what changed; ``removed`` when nothing names the image any more.
    """

    image: str
    status: Literal["pinned", "moved", "unchanged", "removed"]
    before: str
    digest: str


def parse_pins(text: str, path: str) -> dict[str, str]:
    """Read an ``images.lock``.

    Raises:
        ConfigError: a line names no image with tag and digest, or one image stands twice; names all such lines.
    """
    pins: dict[str, str] = {}
    findings = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.strip()
        if not words or words.startswith("#"):
            continue
        problem = ""
        try:
            found = parse_reference(words)
        except BundleError as error:
            problem = error.message
        else:
            name = str(replace(found, digest=""))
            if not found.digest or not found.tag:
                problem = f"'{words}' was seen, name:tag@sha256:... was expected"
            elif name in pins:
                problem = f"{name} stands here twice"
            else:
                pins[name] = found.digest
        if problem:
            findings.append(
                Finding(LOCK_FILE, problem, f"run '{PIN_COMMAND}' after removing it", file=path, line=number)
            )
    raise_config_error(f"{LOCK_FILE} cannot be read.", findings)
    return pins


def render_pins(pins: Pins) -> str:
    """The text of an ``images.lock``."""
    return _HEADER + "".join(f"{name}@{digest}\n" for name, digest in sorted(pins.items()))


def pin_image(image: str, pins: Pins) -> str:
    """The image by its digest where it has one; otherwise as it was named."""
    try:
        named = parse_reference(image)
    except BundleError:  # Docker says what is wrong with a name
        return image
    digest = "" if named.digest else pins.get(str(named), "")
    return str(named.pin(digest)) if digest else image


def pin_images(images: Images, pins: Pins) -> Images:
    """The images to run, each that comes from a registry by its digest."""
    gateway = images.gateway if images.gateway_is_local else pin_image(images.gateway, pins)
    vllm = pin_image(images.vllm, pins) if images.vllm else ""
    apps = {name: pin_image(image, pins) for name, image in images.apps.items()}
    if images.inference_is_local:
        return replace(images, gateway=gateway, vllm=vllm, apps=apps)
    inference = {gpu: pin_image(image, pins) for gpu, image in images.inference.items()}
    return replace(images, gateway=gateway, inference=inference, vllm=vllm, apps=apps)


def list_tagged(images: Images) -> tuple[str, ...]:
    """Fully spelled names of the images that a registry is asked for by tag, for every accelerator.

    Raises:
        ConfigError: a setting holds a text that is no image name.
    """
    listed = [] if images.gateway_is_local else [("GATEWAY_IMAGE", images.gateway)]
    listed += [] if images.inference_is_local else [("INFERENCE_IMAGE", image) for image in images.inference.values()]
    listed += [("VLLM_IMAGE", images.vllm)] if images.vllm else []
    listed += [(f"{name.upper().replace('-', '_')}_IMAGE", image) for name, image in images.apps.items()]
    names = set()
    for setting, image in listed:
        try:
            named = parse_reference(image)
        except BundleError as error:
            raise ConfigError(f"{setting}: {error.message}", error.hint) from error
        # What was built or loaded on this machine is often named after a registry that there can never be.
        if not named.digest and not named.host.endswith(".invalid"):
            names.add(str(named))
    return tuple(sorted(names))


def compare_pins(before: Pins, after: Pins) -> tuple[PinChange, ...]:
    """What changed in each pin, by the image's name."""

    def compare(name: str) -> PinChange:
        old, new = before.get(name, ""), after.get(name, "")
        if not old:
            return PinChange(name, "pinned", old, new)
        return PinChange(name, "unchanged" if old == new else "moved" if new else "removed", old, new)

    return tuple(compare(name) for name in sorted({*before, *after}))


def check_pins(images: Images, pins: Pins) -> tuple[Finding, ...]:
    """A finding where a site pins images and has named others since: nobody looked at those.

    Args:
        images: the images to run, as they were named.
    """
    if not pins:
        return ()
    try:
        missing = [name for name in list_tagged(images) if name not in pins]
    except ConfigError:  # as above
        return ()
    message = f"does not pin {', '.join(missing)}, which is named now"
    return (Finding(LOCK_FILE, message, f"run '{PIN_COMMAND}'", Severity.WARNING),) if missing else ()
