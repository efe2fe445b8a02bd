"""The adapter that writes keys."""

from __future__ import annotations

from stackctl.adapters.files.new_files import create_files as create_files
