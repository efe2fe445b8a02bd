"""`models/catalog.yml` as frozen values: the models this project knows. Pure: text in, values out.

pydantic does the checking, as for `stack.yml`. What nobody checked says ``unverified`` in the file and reads as 0 or
an empty text, so nothing downstream can take a guess for a fact.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, ClassVar, Final, Literal

from annotated_types import Ge, MinLen

from stackctl.core.models.gguf import GGUFHeader
from stackctl.core.settings.stackfile_marks import Matches
from stackctl.core.text.validation_words import describe_error, suggest_key
from stackctl.core.text.yamltree import YamlTree, parse_yaml
from stackctl.errors import ConfigError, Finding

CATALOG_FILE: Final = "models/catalog.yml"
UNVERIFIED: Final = "unverified"

Use = Literal["chat", "code", "embedding", "demo"]
_Name = Annotated[str, Matches(r"^[a-z0-9][a-z0-9._-]{0,63}$", "a name of small letters, digits and . _ -")]
_FileName = Annotated[str, Matches(r"^[A-Za-z0-9][A-Za-z0-9._+-]*\.gguf$", "a file name that ends in .gguf")]
_Repo = Annotated[str, Matches(r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$", "owner/name")]
_Commit = Annotated[str, Matches(r"^[0-9a-f]{40}$", "a commit of 40 hexadecimal digits")]
_Sha256 = Annotated[str, Matches(r"^([0-9a-f]{64}|unverified)$", "64 hexadecimal digits, or unverified")]
_Text = Annotated[str, MinLen(1)]
_Positive = Annotated[int, Ge(1)]

# Read by pydantic when it builds the reader.
_CONFIG: dict[str, Any] = {"extra": "forbid", "strict": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogFile:
    """One file of a model, a shard where there are several."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _CONFIG
    name: _FileName
    size_bytes: _Positive | Literal["unverified"]
    sha256: _Sha256

    @property
    def known_size(self) -> int:
        """Size in bytes; 0 when nobody checked it."""
        return self.size_bytes if isinstance(self.size_bytes, int) else 0

    @property
    def known_sha256(self) -> str:
        """The digest; empty when nobody checked it."""
        return "" if self.sha256 == UNVERIFIED else self.sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What the memory model needs to know of a model before its file is here; from the model's own configuration."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _CONFIG
    layers: _Positive
    kv_heads: _Positive
    head_size: _Positive
    embedding: _Positive
    feed_forward: _Positive
    vocabulary: _Positive
    context: _Positive


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogModel:
    """One model.

    Attributes:
        repo, revision: place of the model on the hub; None for a model of this project.
        source: where a model that is on no hub comes from, in words.
        memory_gb: class of machine the model is meant for: memory of the GPU in GB, as cards are sold.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = _CONFIG
    files: tuple[CatalogFile, ...]
    evidence: Literal["built", "published"]
    licence: _Text
    use: Use
    purpose: _Text
    memory_gb: _Positive
    repo: _Repo | None = None
    revision: _Commit | None = None
    source: _Text | None = None
    shape: Shape | None = None

    def __post_init__(self) -> None:
        """Refuse an entry without files, or one that names no origin, or two.

        Raises:
            ValueError: no file is given, or neither a repository with its revision nor a source is.
        """
        if not self.files:
            raise ValueError("files needs at least one file")
        if (self.repo is None) != (self.revision is None):
            raise ValueError("repo and revision are given together")
        if (self.repo is None) == (self.source is None):
            raise ValueError("either repo and revision or source is needed")

    @property
    def size_bytes(self) -> int:
        """Size of all files in bytes; 0 when the size of one was not checked."""
        sizes = [file.known_size for file in self.files]
        return sum(sizes) if all(sizes) else 0

    @property
    def file(self) -> str:
        """The file to name in a setting: the only one, or the first shard."""
        return self.files[0].name

    def build_header(self) -> GGUFHeader | None:
        """A header for the memory model; None while the model's shape or size is not known."""
        if self.shape is None or not self.size_bytes:
            return None
        shape = self.shape
        return GGUFHeader(
            version=3,
            architecture="llama",  # grouped attention in every layer, as the catalog's models have it
            name="",
            quantisation="",
            size_bytes=self.size_bytes,
            expected_bytes=self.size_bytes,
            tensor_bytes=self.size_bytes,
            tensor_count=1,
            parameter_count=0,
            context_length=shape.context,
            block_count=shape.layers,
            embedding_length=shape.embedding,
            feed_forward_length=shape.feed_forward,
            head_count=max(shape.embedding // shape.head_size, 1),
            head_count_kv=(shape.kv_heads,),
            key_length=shape.head_size,
            value_length=shape.head_size,
            vocab_size=shape.vocabulary,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """The whole file."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _CONFIG
    version: Literal[1]
    models: Mapping[_Name, CatalogModel] = field(default_factory=dict)

    def find_files(self, file_name: str) -> tuple[tuple[CatalogModel, CatalogFile], ...]:
        """Every entry that has a file of this name, with that file."""
        return tuple((model, file) for model in self.models.values() for file in model.files if file.name == file_name)

    def list_names(self) -> dict[str, str]:
        """Entries by the names that people use: the entry's, or its file's, in small letters and without an ending.

        Entries without a source on a hub are not downloads, and are left out.
        """
        pulled = {name: model for name, model in self.models.items() if model.repo}
        files = {file.name.lower().removesuffix(".gguf"): name for name, m in pulled.items() for file in m.files}
        return {**files, **{name: name for name in pulled}}


_SECTIONS: Final[Mapping[str, type[Any]]] = {"files": CatalogFile, "shape": Shape}


def parse_catalog(text: str, path: str = CATALOG_FILE) -> Catalog:
    """Parse and check the catalog.

    Raises:
        ConfigError: the text has an unknown key, a wrong value or a duplicate name; names each with its line.
    """
    from pydantic import TypeAdapter, ValidationError

    tree = parse_yaml(text, path)
    findings, catalog = list(tree.findings), None
    try:
        # By way of JSON, in which pydantic's strict mode takes objects for dataclasses and arrays for tuples.
        catalog = TypeAdapter(Catalog).validate_json(json.dumps(tree.value, default=str))
    except ValidationError as error:
        findings += [_build_finding(dict(item), tree) for item in error.errors()]
    except (TypeError, ValueError, RecursionError) as error:  # a key that is no text, an alias that contains itself
        findings.append(Finding("catalog", f"cannot be read: {error}", "write it without aliases", file=path))
    if catalog is None or findings:
        findings.sort(key=lambda finding: finding.line)
        raise ConfigError(f"{path} is not usable.", findings[0].hint, findings)
    return catalog


def _build_finding(error: Mapping[str, Any], tree: YamlTree) -> Finding:
    # A union's branches and a mapping's key stand in pydantic's place, not in the file's.
    path = tuple(part for part in error["loc"] if part != "[key]" and not _is_branch(part))
    subject = ".".join(str(part) for part in path) or "catalog"
    line = tree.find_line(path)
    if error["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        hint = suggest_key(str(path[-1]), _list_keys(path[:-1])) or "remove it"
        return Finding(subject, "is not a key of this section", hint, file=tree.path, line=line)
    message, hint = describe_error(error, subject, tree.find_text(path))
    return Finding(subject, message, hint, file=tree.path, line=line)


def _is_branch(part: Any) -> bool:
    return isinstance(part, str) and part.startswith(("literal[", "constrained-", "int"))


def _list_keys(path: tuple[Any, ...]) -> list[str]:
    """Known keys of the section at this path, for a suggestion."""
    section: type[Any] = Catalog if not path else CatalogModel
    for part in path[2:]:
        section = _SECTIONS.get(str(part), section)
    return [item.name for item in fields(section)]
