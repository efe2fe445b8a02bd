"""The bill of materials of a bundle: CycloneDX for programs, and the licences as a text for people. Pure.

In: components that the bundle carries. Out: text that is equal for equal components, in whatever order they come: no
clock, no host, a serial number that follows from the content.

Source: CycloneDX 1.6 (JSON); package-url, types ``oci`` and ``pypi``; core metadata 2.4 (License-Expression).
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from email.parser import HeaderParser
from itertools import groupby
from typing import Any, Final, Literal
from urllib.parse import quote

from stackctl.core.images.reference import parse_reference

Kind = Literal["program", "image", "model", "wheel", "engine", "library"]

NOT_STATED: Final = "not stated"

_TYPES: Final[dict[Kind, str]] = {
    "program": "application",
    "image": "container",
    "model": "machine-learning-model",
    "wheel": "library",
    "engine": "application",
    "library": "library",
}
_TITLES: Final[dict[Kind, str]] = {
    "program": "Programs",
    "image": "Container images",
    "model": "Models",
    "wheel": "Python packages",
    "engine": "Engine of the process runtime",
    "library": "Libraries of the engine",
}
# Identifiers of the SPDX list that packages and models use most; any other text travels as a name, valid as well.
# fmt: off
_SPDX_IDS: Final = frozenset({
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC-BY-4.0", "CC-BY-NC-4.0", "CC-BY-SA-4.0",
    "CC0-1.0", "GPL-2.0-only", "GPL-2.0-or-later", "GPL-3.0-only", "GPL-3.0-or-later", "ISC", "LGPL-2.1-only",
    "LGPL-2.1-or-later", "LGPL-3.0-only", "LGPL-3.0-or-later", "MIT", "MIT-0", "MIT-CMU", "MPL-2.0", "OFL-1.1",
    "PSF-2.0", "Python-2.0", "Unlicense", "ZPL-2.1", "Zlib",
})
# fmt: on
_OPERATOR: Final = re.compile(r"[()]| (?:AND|OR|WITH) ")
_LICENCE_CLASSIFIER: Final = "License :: OSI Approved :: "
_MAX_LICENCE_CHARS: Final = 120


@dataclass(frozen=True, slots=True)
class Component:
    """A thing that a bundle carries, or that a release needs.

    Attributes:
        name: name of the component: an image's reference, a model's name, a package's name.
        version: version of the component; empty where it has none: an image's tag or digest is part of its name.
        sha256: digest in hexadecimal; an image's is its manifest's; empty where each machine takes another file.
        licence: licence as the maker states it: an SPDX identifier or expression, or a name; empty where none is
            stated.
        source: address or name of where the component comes from; empty where unknown.
    """

    kind: Kind
    name: str
    version: str
    sha256: str
    licence: str = ""
    source: str = ""


def build_sbom(components: Iterable[Component]) -> dict[str, Any]:
    """The CycloneDX document as a tree of plain values.

    Args:
        components: exactly one is the program that the bundle installs; all others are its contents.
    """
    listed = sorted(set(components), key=_sort_key)
    described = [_describe(component) for component in listed if component.kind != "program"]
    (program,) = [_describe(component) for component in listed if component.kind == "program"]
    content = _render([program, *described])
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, content)}",
        "version": 1,
        "metadata": {"component": program},
        "components": described,
    }


def render_sbom(components: Iterable[Component]) -> str:
    """The CycloneDX document as text."""
    return _render(build_sbom(components))


def render_licences(components: Iterable[Component]) -> str:
    """The licence of each component as a text for people; nothing is guessed where nothing is stated."""
    listed = sorted(set(components), key=_sort_key)
    lines = [
        "Licences of what this bundle carries, as their makers state them.",
        f"'{NOT_STATED}' means that the component itself says nothing; ask its source before you pass it on.",
    ]
    for kind, group in groupby(listed, key=lambda component: component.kind):
        lines += ["", _TITLES[kind], "-" * len(_TITLES[kind])]
        for component in group:
            lines.append(f"{component.name} {component.version}".rstrip())
            lines.append(f"    licence: {component.licence or NOT_STATED}")
            lines.append(f"    source:  {component.source or NOT_STATED}")
            lines.append(f"    sha256:  {component.sha256}")
    return "\n".join(lines) + "\n"


def parse_wheel_metadata(text: str, sha256: str) -> Component:
    """The component of a wheel, from its METADATA.

    The licence is the SPDX expression, else the short licence field, else the classifiers: each later one says less.
    """
    fields = HeaderParser().parsestr(text)
    name, version = str(fields["Name"] or ""), str(fields["Version"] or "")
    return Component("wheel", name, version, sha256, _read_licence(fields), _build_pypi_purl(name, version))


def _read_licence(fields: Any) -> str:
    if expression := str(fields["License-Expression"] or "").strip():
        return expression
    classifiers = [str(text) for text in fields.get_all("Classifier") or []]
    named = sorted({text.removeprefix(_LICENCE_CLASSIFIER) for text in classifiers if text.startswith("License :: ")})
    stated = str(fields["License"] or "").strip()
    # Some packages put the whole text of their licence there.
    is_name = stated and "\n" not in stated and len(stated) <= _MAX_LICENCE_CHARS and stated.upper() != "UNKNOWN"
    return stated if is_name else "; ".join(named)


def _describe(component: Component) -> dict[str, Any]:
    purl = _build_purl(component)
    identity = f"{component.name}@{component.version or component.sha256}"
    tree: dict[str, Any] = {
        "type": _TYPES[component.kind],
        "bom-ref": ":".join(filter(None, (component.kind, identity, component.sha256[:12]))),
        "name": component.name,
    }
    if component.sha256:
        tree["hashes"] = [{"alg": "SHA-256", "content": component.sha256}]
    if component.version:
        tree["version"] = component.version
    if component.licence:
        tree["licenses"] = _describe_licence(component.licence)
    if purl:
        tree["purl"] = purl
    if re.match(r"https?://\S+$", component.source):
        tree["externalReferences"] = [{"type": "distribution", "url": component.source}]
    elif component.source and component.source != purl:
        tree["properties"] = [{"name": "stackctl:source", "value": component.source}]
    return tree


def _describe_licence(licence: str) -> list[dict[str, Any]]:
    if licence in _SPDX_IDS:
        return [{"license": {"id": licence}}]
    if {part.strip() for part in _OPERATOR.split(licence) if part.strip()} <= _SPDX_IDS:
        return [{"expression": licence}]
    return [{"license": {"name": licence}}]


def _build_purl(component: Component) -> str:
    if component.kind == "image":
        image = parse_reference(component.name)
        tag = f"&tag={quote(image.tag, safe='')}" if image.tag else ""
        name = image.path.rpartition("/")[2]
        address = quote(image.repository, safe="/")
        return f"pkg:oci/{name}@sha256%3A{component.sha256}?repository_url={address}{tag}"
    return _build_pypi_purl(component.name, component.version) if component.kind == "wheel" else ""


def _build_pypi_purl(name: str, version: str) -> str:
    return f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{quote(version, safe='')}"


def _sort_key(component: Component) -> tuple[int, str, str, str]:
    return (tuple(_TYPES).index(component.kind), component.name.lower(), component.version, component.sha256)


def _render(tree: object) -> str:
    return json.dumps(tree, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
