"""The adapters with which commands read bundles."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stackctl.operations.bundle.check.reading import BundleReader
    from stackctl.operations.effects import Effects


def build_reader(effects: Effects) -> BundleReader:
    """The adapter that reads bundles from the real disk."""
    from stackctl.adapters.bundle import parts_check, parts_reader
    from stackctl.adapters.files import untrusted_files
    from stackctl.operations.bundle.check.reading import BundleReader

    return BundleReader(
        find_folders=parts_reader.find_folders,
        sort_paths=parts_reader.sort_paths,
        open_bundles=parts_reader.open_bundles,
        measure=untrusted_files.measure,
        list_entries=untrusted_files.list_entries,
        read_whole=untrusted_files.read_whole,
        read_link=untrusted_files.read_link,
        hash_parts=parts_check.hash_parts,
        hash_chunks=parts_check.hash_chunks,
        read_blob=parts_reader.read_blob,
        read_range=parts_reader.read_range,
        locate_damage=parts_check.locate_damage,
        begins_part=parts_check.begins_part,
        find_frame_damage=parts_check.find_frame_damage,
        report=effects.terminal.report,
        clock=effects.clock.monotonic,
    )
