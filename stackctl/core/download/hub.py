"""Where a model's files are: names that people type, the URLs they stand for, and how far redirects are followed. Pure.

In: ``hf:owner/repo/file.gguf@revision``, a web address, or a catalog entry. Out: one ``Source`` for each file. A hub
is any server that speaks Hugging Face's download protocol: ``GET {endpoint}/{repo}/resolve/{revision}/{file}``,
answered by a redirect that carries the file's size and SHA-256.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from stackctl.core.models.catalog import CatalogModel
from stackctl.core.models.gguf import build_shard_names
from stackctl.errors import ConfigError, RuntimeFailure

DEFAULT_REVISION: Final = "main"
HUB_HOSTS: Final = frozenset({"huggingface.co", "www.huggingface.co", "hf.co"})
MAX_REDIRECTS: Final = 10
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
# More than any model has; each shard costs a request and a lock.
MAX_SHARDS: Final = 500

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_REPO: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
_REVISION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
_HUB_PAGE: Final = re.compile(r"/(?P<repo>[^/]+/[^/]+)/(?:resolve|blob)/(?P<revision>[^/]+)/(?P<file>.+)")
_FORMS: Final = "a catalog name, hf:owner/repo/file.gguf[@revision] or an http(s) address of a .gguf file"
_REDIRECT_HINT: Final = "check HF_ENDPOINT or the address, and the company's proxy"
_HINT: Final = "copy the file's name from its page on the hub, or run 'stackctl models recommend'"


@dataclass(frozen=True, slots=True)
class Reference:
    """One file that a person asked for.

    Attributes:
        repo, revision, file: place of the file on a hub; empty for a plain address. ``file`` may have folders in it.
        url: address of the file; empty for a hub's file.
        sha256: digest that was pinned with ``#sha256=``; empty where none was.
    """

    repo: str = ""
    file: str = ""
    revision: str = ""
    url: str = ""
    sha256: str = ""

    @property
    def is_hub(self) -> bool:
        """Whether the reference is to a hub's file."""
        return bool(self.repo)

    @property
    def name(self) -> str:
        """File name that the file gets in the models folder."""
        return unquote((self.file or urlsplit(self.url).path).rpartition("/")[2])

    def render_text(self) -> str:
        """The name to show and to record, without a query, because a query may hold a signature."""
        if self.is_hub:
            return f"hf:{self.repo}/{self.file}@{self.revision}"
        return urlsplit(self.url)._replace(query="").geturl()

    def with_name(self, name: str) -> Reference:
        """The file of this name in the same folder."""
        if self.is_hub:
            folder, slash, _ = self.file.rpartition("/")
            return replace(self, file=f"{folder}{slash}{name}")
        parts = urlsplit(self.url)
        folder, slash, _ = parts.path.rpartition("/")
        return replace(self, url=parts._replace(path=f"{folder}{slash}{quote(name)}").geturl())


@dataclass(frozen=True, slots=True)
class Source:
    """One file to download.

    Attributes:
        name: file name in the models folder.
        url: address to ask first.
        origin: name to show and to record.
        sha256, size_bytes: digest and size that are known beforehand; empty and 0 where they are not.
        is_hub: whether the first server may be given the hub's token.
    """

    name: str
    url: str
    origin: str
    sha256: str = ""
    size_bytes: int = 0
    is_hub: bool = False

    @property
    def place(self) -> str:
        """What a person can correct when the server is the wrong one: a setting or the address."""
        return "HF_ENDPOINT" if self.is_hub else "the address"

    def is_answered_by_hub(self, url: str) -> bool:
        """Whether an address is the hub's own, and not the storage that it redirects to."""
        return self.is_hub and _origin(urlsplit(url)) == _origin(urlsplit(self.url))


def parse_reference(text: str) -> Reference | None:
    """Read a name that a person typed; None for a catalog name.

    Raises:
        ConfigError: the text is meant as a hub's file or an address and is neither.
    """
    plain, _, pin = text.strip().partition("#")
    sha256 = _parse_pin(text, pin)
    if plain.startswith("hf:"):
        return replace(_parse_hub_name(plain), sha256=sha256)
    if "://" in plain:
        return replace(_parse_url(plain), sha256=sha256)
    if pin or "/" in plain or not plain or plain.endswith(".gguf"):
        raise ConfigError(f"'{text}' names no model to download; expected {_FORMS}.", _HINT)
    return None


def build_sources(reference: Reference, endpoint: str) -> tuple[Source, ...]:
    """Every file of the model that a reference names, in order.

    Raises:
        ConfigError: the model has too many files, or one digest is pinned for several.
    """
    names = build_shard_names(reference.name)
    if len(names) > MAX_SHARDS:
        message = f"{reference.name} says that it is one of {len(names)} files, expected at most {MAX_SHARDS}"
        raise ConfigError(f"{message}.", _HINT)
    if len(names) > 1 and reference.sha256:
        message = f"{reference.name} is one of {len(names)} files, and #sha256= pins one"
        raise ConfigError(f"{message}.", "leave #sha256= away: the hub announces each file's digest")
    shards = [reference.with_name(name) for name in names] if len(names) > 1 else [reference]
    return tuple(
        Source(
            shard.name,
            _build_hub_url(endpoint, shard) if shard.is_hub else shard.url,
            shard.render_text(),
            sha256=shard.sha256,
            is_hub=shard.is_hub,
        )
        for shard in shards
    )


def build_catalog_sources(model: CatalogModel, endpoint: str) -> tuple[Source, ...]:
    """Every file of a catalog entry, in order; empty for a model that is on no hub."""
    if model.repo is None or model.revision is None:
        return ()
    references = [Reference(repo=model.repo, file=file.name, revision=model.revision) for file in model.files]
    return tuple(
        Source(file.name, _build_hub_url(endpoint, item), item.render_text(), file.known_sha256, file.known_size, True)
        for item, file in zip(references, model.files, strict=True)
    )


def follow_redirect(url: str, location: str) -> str:
    """The address that a redirect leads to.

    Raises:
        RuntimeFailure: the redirect leads to no web address, or from HTTPS to plain HTTP.
    """
    before = urlsplit(url)
    host = before.hostname or ""
    try:
        target = urljoin(url, location)
        parts = urlsplit(target)
    except ValueError as error:
        raise RuntimeFailure(f"{host} redirects to what is no web address.", _REDIRECT_HINT) from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RuntimeFailure(f"{host} redirects to '{parts.scheme}:', which is no web address.", _REDIRECT_HINT)
    if before.scheme == "https" and parts.scheme == "http":
        message = f"{host} redirects from HTTPS to plain HTTP on {parts.hostname}; nothing was downloaded"
        raise RuntimeFailure(f"{message}.", _REDIRECT_HINT)
    return target


def may_carry_token(url: str, source: Source) -> bool:
    """Whether a request may carry the hub's token: to the hub itself, over HTTPS or inside this machine."""
    parts = urlsplit(url)
    is_private = parts.scheme == "https" or _is_loopback(parts.hostname or "")
    return is_private and source.is_answered_by_hub(url)


def _parse_pin(text: str, pin: str) -> str:
    if not pin:
        return ""
    kind, _, digest = pin.partition("=")
    if kind != "sha256" or not _SHA256.fullmatch(digest.lower()):
        raise ConfigError(
            f"'#{pin}' in '{text}' pins no digest; expected #sha256= and 64 hexadecimal digits.", "correct it"
        )
    return digest.lower()


def _parse_hub_name(text: str) -> Reference:
    path, _, revision = text.removeprefix("hf:").partition("@")
    owner, _, rest = path.partition("/")
    name, _, file = rest.partition("/")
    reference = Reference(repo=f"{owner}/{name}", file=file, revision=revision or DEFAULT_REVISION)
    if "@" in text and not revision:
        raise ConfigError(f"'{text}' has no revision after '@'.", "name a branch, tag or commit, or leave '@' away")
    return _check_hub_name(text, reference)


def _check_hub_name(text: str, reference: Reference) -> Reference:
    folders = (*reference.repo.split("/"), *reference.file.split("/"), *reference.revision.split("/"))
    is_good = (
        _REPO.fullmatch(reference.repo)
        and _REVISION.fullmatch(reference.revision)
        and not {"", ".", ".."}.intersection(folders)
        and _is_file_name(reference.name)
        and reference.file.isprintable()
        and "\\" not in reference.file
    )
    if not is_good:
        raise ConfigError(f"'{text}' names no file of a hub; expected hf:owner/repo/file.gguf[@revision].", _HINT)
    return reference


def _parse_url(text: str) -> Reference:
    try:
        parts = urlsplit(text)
        is_web = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port or an IPv6 address that is none
        raise ConfigError(f"'{text}' is no web address; expected {_FORMS}.", _HINT) from None
    if not is_web or not text.isprintable() or " " in text:
        raise ConfigError(f"'{text}' is no web address; expected {_FORMS}.", _HINT)
    if parts.username is not None or parts.password is not None:
        # It would end up in logs and in the record of where a model is from.
        raise ConfigError(f"The address on {parts.hostname} holds a user name.", "use an address without one")
    page = _HUB_PAGE.fullmatch(parts.path)
    if parts.hostname in HUB_HOSTS and page:
        file, revision = unquote(page["file"]), unquote(page["revision"])
        return _check_hub_name(text, Reference(repo=page["repo"], file=file, revision=revision))
    reference = Reference(url=text)
    if not _is_file_name(reference.name):
        raise ConfigError(f"{reference.render_text()} ends in no name of a GGUF file.", "name the .gguf file itself")
    return reference


def _is_file_name(name: str) -> bool:
    """Whether a name is safe in the models folder: plain, visible, and not so long that a file system refuses it."""
    is_plain = name.isprintable() and not set(name) & set("/\\:*?\"<>|'") and not name.startswith((".", "-"))
    return is_plain and name.endswith(".gguf") and len(name.encode()) <= 200 and len(name) > len(".gguf")


def _build_hub_url(endpoint: str, reference: Reference) -> str:
    revision = quote(reference.revision, safe="")
    return f"{endpoint.rstrip('/')}/{reference.repo}/resolve/{revision}/{quote(reference.file)}"


def _origin(parts: SplitResult) -> tuple[str, str, int]:
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
