"""What the Docker engine has of images, and loading images into it as a stream; no file of ours is written.

In: a docker SDK client; for loading, one whose time-out is ``TRANSFER_TIMEOUT_S``, because the engine is silent while
it stores gigabytes. Out: facts, findings. Works with both of the engine's image stores, the one with its own layers
(overlay2) and the containerd one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from stackctl.core.images.oci import ImageFacts
from stackctl.core.images.reference import parse_reference
from stackctl.errors import Finding, ImageUnavailable, RuntimeFailure

if TYPE_CHECKING:
    from docker import DockerClient

TRANSFER_TIMEOUT_S: Final = 1800
_CONTAINERD: Final = "io.containerd.snapshotter.v1"


def has_containerd_store(client: DockerClient) -> bool:
    """Whether the Docker engine has the containerd image store, and not the one with its own layers."""
    status = client.info().get("DriverStatus") or []
    return ["driver-type", _CONTAINERD] in [list(pair) for pair in status]


def inspect_image(client: DockerClient, reference: str) -> dict[str, Any]:
    """What the Docker engine says of an image, as its API has it.

    Raises:
        ImageUnavailable: the Docker engine does not have the image.
    """
    from docker.errors import ImageNotFound

    try:
        return dict(client.images.get(reference).attrs)
    except ImageNotFound:
        raise ImageUnavailable(f"The engine does not have the image {reference}.", "pull, build or load it") from None


def find_repo_digest(client: DockerClient, reference: str) -> str:
    """The digest under which a registry has an image of the Docker engine; empty when the image came from no registry.

    The containerd store names one for images that were built here, too: only the registry knows whether it has it.

    Raises:
        ImageUnavailable: the Docker engine does not have the image.
    """
    wanted = parse_reference(reference).repository
    for name in inspect_image(client, reference).get("RepoDigests") or []:
        found = parse_reference(name)
        if found.repository == wanted:
            return found.digest
    return ""


def find_present_layers(client: DockerClient, images: Iterable[ImageFacts]) -> frozenset[str]:
    """Digests of the layers that need not be sent: the Docker engine has them and will look for them there.

    The store with its own layers knows a layer by all that lies below it, so a layer counts for an image only when
    an image of the engine begins with the same layers. The containerd store knows blobs, but does not say which: one
    image with the same manifest has them all.
    """
    there = [image.attrs for image in client.images.list(all=True)]
    is_containerd = has_containerd_store(client)
    stacks = [tuple(item["RootFS"].get("Layers") or ()) for item in there]
    present: set[str] = set()
    needed: set[str] = set()
    for facts in images:
        if is_containerd:
            count = len(facts.layers) if facts.manifest.digest in {item["Id"] for item in there} else 0
        else:
            count = max((_count_shared(facts.diff_ids, stack) for stack in stacks), default=0)
        present |= {layer.digest for layer in facts.layers[:count]}
        needed |= {layer.digest for layer in facts.layers[count:]}
    return frozenset(present - needed)


def load_images(client: DockerClient, chunks: Iterable[bytes], report: Callable[[str], None]) -> None:
    """Send a tar of images to the Docker engine while it is made.

    Success proves little: the containerd store only reports a layer that it could not unpack. Check identities next.

    Raises:
        RuntimeFailure: the Docker engine refused the images or broke off.
    """
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    engine: Any = client.api
    try:
        # A file object would be sent in blocks of 16 KiB; a generator's chunks are sent as they are.
        for line in engine.load_image(iter(chunks)):
            if "error" in line:
                raise RuntimeFailure(
                    f"The Docker engine did not load the images: {line['error']}.", "read the engine's log"
                )
            if text := str(line.get("stream") or "").strip():
                report(text)
    except (DockerException, RequestException) as error:
        raise RuntimeFailure(
            f"The Docker engine broke off loading images: {error}.", "check its disk ('docker system df') and its log"
        ) from error


def check_identity(client: DockerClient, facts: ImageFacts, alias: str) -> list[Finding]:
    """Check that the Docker engine's image of this name is the one that was meant, whole, and can be started.

    Starting is tried as far as a container that is made and removed: only then has the containerd store unpacked it.
    """
    try:
        seen = inspect_image(client, alias)
    except ImageUnavailable as error:
        return [Finding(alias, error.message, "load the bundle again")]
    compared = (
        ("its id is", str(seen.get("Id")), (facts.manifest.digest, facts.config.digest)),
        ("its layers are", ", ".join(seen["RootFS"].get("Layers") or ()), (", ".join(facts.diff_ids),)),
        ("it is for", f"{seen.get('Os')}/{seen.get('Architecture')}", (f"{facts.os}/{facts.architecture}",)),
    )
    findings = [
        Finding(alias, f"{what} {value}, expected {' or '.join(expected)}", "load the bundle again")
        for what, value, expected in compared
        if value not in expected
    ]
    return findings or _check_usable(client, alias)


def tag_image(client: DockerClient, image: str, alias: str) -> None:
    """Give an image of the Docker engine one more name.

    Raises:
        ImageUnavailable: the Docker engine does not have the image.
    """
    name = parse_reference(alias)
    identity = inspect_image(client, image)["Id"]
    client.api.tag(identity, name.repository, name.tag)


def remove_alias(client: DockerClient, alias: str) -> bool:
    """Take a name away, and with an image's last name the image; one that a container uses stays.

    Returns:
        Whether there was such a name and it is gone.
    """
    from docker.errors import APIError, ImageNotFound

    try:
        client.api.remove_image(alias)
    except ImageNotFound:
        return False
    except APIError as error:
        if error.status_code == 409:
            return False
        raise RuntimeFailure(f"The image {alias} could not be removed: {error}.", "read the engine's log") from error
    return True


def _check_usable(client: DockerClient, alias: str) -> list[Finding]:
    from docker.errors import APIError

    try:
        # The command is never run; an image without one could not be made a container of.
        container = client.api.create_container(alias, command=["true"], network_disabled=True)
    except APIError as error:
        return [
            Finding(alias, f"no container can be made of it: {error.explanation or error}", "load the bundle again")
        ]
    client.api.remove_container(container["Id"], v=True, force=True)
    return []


def _count_shared(first: tuple[str, ...], second: tuple[str, ...]) -> int:
    for number, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return number
    return min(len(first), len(second))
