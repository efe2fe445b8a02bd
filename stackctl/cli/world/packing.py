"""The adapters of one pack."""

from __future__ import annotations

import platform
import time
from functools import partial
from pathlib import Path

from stackctl.adapters.bundle import bundle_writer, engine_files
from stackctl.adapters.bundle.bundle_writer import load_manifest as load_manifest
from stackctl.adapters.bundle.open_source import open_source
from stackctl.adapters.bundle.version_memory import VersionMemory
from stackctl.adapters.docker.image_sources import ImageSources
from stackctl.adapters.files.content_hashes import ContentHashes
from stackctl.adapters.files.site_files import load_text
from stackctl.adapters.models.model_store import load_free_bytes
from stackctl.adapters.wheels import own_wheel, wheelhouse
from stackctl.core.bundle.format.signature import SecretKey, parse_secret_key, sign
from stackctl.core.bundle.load.checks import ARCHITECTURES
from stackctl.core.images.oci import Platform
from stackctl.core.models.catalog import CATALOG_FILE, parse_catalog
from stackctl.errors import Finding, Severity
from stackctl.operations.bundle.pack.effects import PackEffects
from stackctl.operations.bundle.pack.gather import Sources, find_provenance
from stackctl.operations.effects import Effects


def _load_key(path: Path) -> SecretKey:
    return parse_secret_key(load_text(path) or "", str(path))


def build_pack_effects(effects: Effects, key: Path | None, warnings: list[Finding]) -> PackEffects:
    """The real adapters of one pack."""
    secret, memory = _load_key(key) if key else None, VersionMemory(key, warnings.append)
    catalog = parse_catalog(effects.files.load_text(effects.paths.data_root / CATALOG_FILE) or "")

    hashes = ContentHashes(effects.paths.cache_dir / "hashes", time.time_ns)
    images = _build_image_sources(effects, warnings)
    sources = Sources(hashes.hash_model, hashes.hash_file, images.resolve, partial(find_provenance, effects, catalog))
    writer = bundle_writer.BundleWriter(
        open_blob=lambda blob, offset, before: open_source(images, blob, offset, before),
        stream_layers=images.stream_layers,
        sign=(lambda m, data: sign(secret, data, f"{m.name} {m.version} {m.id}")) if secret else None,
    )
    return PackEffects(
        effects=effects,
        sources=sources,
        architecture=images.platform.architecture,
        collect_wheels=lambda lock, title, pythons, index: wheelhouse.collect_wheels(
            lock,
            pythons,
            effects.paths.cache_dir,
            index,
            effects.terminal.report,
            title=title,
            hash_file=lambda path: hashes.hash_file(path, lambda size: None).sha256,
        ),
        describe_wheel=wheelhouse.describe_wheel,
        inspect_engine=engine_files.inspect_engine,
        warn=warnings.append,
        build_own_wheel=lambda: own_wheel.build_own_wheel(effects.paths.cache_dir / "wheels" / "own"),
        list_bundles=bundle_writer.list_bundles,
        find_free_bytes=load_free_bytes,
        find_partial_bytes=bundle_writer.find_partial_bytes,
        write_bundle=writer.write,
        sign_bundle=writer.sign_bundle,
        load_versions=memory.load,
        save_version=memory.save,
    )


def _build_image_sources(effects: Effects, warnings: list[Finding]) -> ImageSources:
    def warn(text: str) -> None:
        warnings.append(Finding("images", text, severity=Severity.WARNING))

    target = Platform("linux", ARCHITECTURES.get(platform.machine(), platform.machine()))
    return ImageSources(effects.paths.cache_dir / "images", target, effects.terminal.report, warn)
