"""Names of container images, read as Docker reads them.

In: text. Out: frozen values and text. Pure.

Source: distribution/reference (grammar, ``docker.io`` and ``library/`` defaults).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from stackctl.errors import BundleError

DOCKER_HUB: Final = "docker.io"
MAX_REFERENCE_CHARS: Final = 512

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_TAG: Final = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_LABEL: Final = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST: Final = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]{{1,5}})?", re.ASCII)
_PART: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH: Final = re.compile(rf"{_PART}(?:/{_PART})*", re.ASCII)


@dataclass(frozen=True, slots=True)
class ImageReference:
    """A fully spelled image name.

    Attributes:
        host: host of the registry, with its port where one is given (``docker.io``, ``127.0.0.1:5000``).
        path: path of the repository in the registry (``library/debian``).
        tag: name of the version; empty only when there is a digest.
        digest: digest as ``sha256:<64 hex>``, or empty.
    """

    host: str
    path: str
    tag: str
    digest: str = ""

    @property
    def repository(self) -> str:
        """Host and path: the part that RepoDigests are compared by."""
        return f"{self.host}/{self.path}"

    def pin(self, digest: str) -> ImageReference:
        """A name of the image by this digest."""
        return replace(self, digest=digest)

    def __str__(self) -> str:
        """The name with every part spelled out, as containerd names images."""
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.repository}{tag}{'@' if self.digest else ''}{self.digest}"


def parse_reference(text: str) -> ImageReference:
    """Read ``[host[:port]/]path[:tag][@sha256:...]``; the tag is ``latest`` when neither it nor a digest is given.

    Raises:
        BundleError: the text is no image name, or its digest is not a SHA-256.
    """
    if len(text) > MAX_REFERENCE_CHARS:
        raise _refuse(text[:40] + "...", f"it has {len(text)} characters, at most {MAX_REFERENCE_CHARS} are expected")
    named, at, digest = text.partition("@")
    if at and not is_digest(digest):
        raise _refuse(text, f"its digest is {digest!r}, expected sha256: and 64 hexadecimal digits")
    host, path = _split_host(named)
    path, colon, tag = path.partition(":")
    if colon and not _TAG.fullmatch(tag):
        raise _refuse(text, f"its tag is {tag!r}")
    if host == DOCKER_HUB and "/" not in path:
        path = f"library/{path}"
    if not _HOST.fullmatch(host) or not _PATH.fullmatch(path):
        raise _refuse(text, f"the registry is read as {host!r} and the repository as {path!r}")
    return ImageReference(host, path, tag or ("" if digest else "latest"), digest)


def is_digest(text: str) -> bool:
    """Whether the text is ``sha256:`` and 64 lower-case hexadecimal digits."""
    return _DIGEST.fullmatch(text) is not None


def _split_host(named: str) -> tuple[str, str]:
    """Split off the registry by Docker's rule: the first part, when it has a dot, colon or capital, or is localhost."""
    first, slash, rest = named.partition("/")
    is_host = slash and ("." in first or ":" in first or first == "localhost" or first != first.lower())
    host, path = (first, rest) if is_host else (DOCKER_HUB, named)
    return (DOCKER_HUB, path) if host == "index.docker.io" else (host, path)


def _refuse(text: str, seen: str) -> BundleError:
    return BundleError(
        f"{text!r} is not an image name: {seen}.",
        "write it as host/path:tag or host/path@sha256:..., as 'docker pull' takes it",
    )
