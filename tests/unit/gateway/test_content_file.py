"""The file of prompts and answers: its mode, and what is removed by size and by age."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime
from pathlib import Path

from gateway.observe.content_file import ContentFile

DAY_S = 86_400.0
NOW = 1_795_000_000.0


def add(file: ContentFile, now: float, size: int = 100) -> None:
    line = json.dumps(
        {"time": datetime.fromtimestamp(now, UTC).isoformat(), "asked": "x" * size}, separators=(",", ":")
    )
    file.append(line.encode() + b"\n", now)


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    (tmp_path / "content.jsonl").write_text("")
    (tmp_path / "content.jsonl").chmod(0o644)
    add(ContentFile(tmp_path, 7, 100), NOW)
    assert stat.S_IMODE((tmp_path / "content.jsonl").stat().st_mode) == 0o600


def test_what_is_older_than_its_days_is_removed_also_when_nothing_is_written(tmp_path: Path) -> None:
    file = ContentFile(tmp_path, 3, 100)
    add(file, NOW)
    add(file, NOW + 2 * DAY_S)
    assert len(list(tmp_path.iterdir())) == 2
    file.remove_old(NOW + 3.5 * DAY_S)
    assert sum(len(path.read_text().splitlines()) for path in tmp_path.iterdir()) == 1
    file.remove_old(NOW + 6 * DAY_S)
    assert list(tmp_path.iterdir()) == []


def test_the_oldest_is_removed_when_all_is_too_large(tmp_path: Path) -> None:
    file = ContentFile(tmp_path, 7, 1)
    for number in range(40):
        add(file, NOW + number, 60_000)
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert 500_000 < sum(sizes) <= 1_000_000
    assert (tmp_path / "content.jsonl").exists()
