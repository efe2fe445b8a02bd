"""What an installed release says for a receipt: which bundle, how it was verified, its models' digests. Pure."""

from __future__ import annotations

from pathlib import PurePosixPath

from stackctl.core.bundle.format.installed_paths import model_folder
from stackctl.core.bundle.load.record import LoadRecord
from stackctl.core.bundle.load.release import Release
from stackctl.core.models.served import ServedModel
from stackctl.core.proof.receipt import InstalledBundle, ModelFact


def build_installed_bundle(release: Release, record: LoadRecord | None) -> InstalledBundle:
    """The bundle as its receipt names it.

    Args:
        record: how the bundle was loaded; ``None`` when that is not known any more.
    """
    manifest = release.manifest
    return InstalledBundle(manifest.id, manifest.name, str(manifest.version), _describe_signature(record))


def _describe_signature(record: LoadRecord | None) -> str:
    if record is None:
        return "not known: the release has no record of its loading"
    if record.signature == "verified":
        return f"verified with key {record.key} when it was loaded, {record.loaded_at}"
    return f"unsigned: nobody vouches for it; loading it was allowed, {record.loaded_at}"


def build_model_fact(model: ServedModel, release: Release | None) -> ModelFact:
    """The facts of a served model, with the digests that its release says; none for a site's own file."""
    known = _list_digests(release) if release else {}
    digests = tuple(known[path] for path in model.shards if path in known)
    name = PurePosixPath(model.path).name
    return ModelFact(model.served_name, name, model.size_bytes, digests if len(digests) == len(model.shards) else ())


def _list_digests(release: Release) -> dict[str, str]:
    """SHA-256 of every model file that the release brought, by the file's absolute path."""
    return {
        f"{release.store}/{model_folder(model.digest)}/{file.path}": file.sha256
        for model in release.manifest.models
        for file in model.files
    }
