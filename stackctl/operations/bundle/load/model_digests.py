"""Compare each model file that is being loaded with the digest that the manifest has of it as a whole.

In: a ``Job``, its staging and its plan. Out: findings. Reads through the job's effects, in a thread. A model file's
chunks are checked one by one, several at a time and not in the file's order; the whole is hashed behind them, from the
parts' bytes that were read a moment ago and are still in memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stackctl.core.bundle.format.manifest import Member, Model, ModelFile
from stackctl.core.bundle.format.manifest_reader import list_content
from stackctl.core.bundle.load.plan import LoadPlan, Wanted, list_offsets, model_path
from stackctl.core.text.progress import Transfer
from stackctl.errors import Finding
from stackctl.operations.bundle.check.whole_models import build_contradiction

if TYPE_CHECKING:
    from stackctl.operations.bundle.load.acceptance import Job
    from stackctl.operations.bundle.load.effects import Staging


@contextmanager
def follow_models(job: Job, staging: Staging, plan: LoadPlan, models: Collection[Model]) -> Iterator[list[Finding]]:
    """Hash files in a thread while the block stages them; findings are in the list when the block has ended.

    Args:
        models: models that are staged, all of whose parts are here.

    Raises:
        BundleError: a disk fails.
    """
    findings: list[Finding] = []
    follower = _Follower(job, staging, plan, models)
    with ThreadPoolExecutor(1, "models") as pool:
        found = pool.submit(lambda: list(follower.check(models)))
        try:
            yield findings
        except BaseException:
            follower.is_stopped = True
            raise
        finally:
            follower.is_alone = True
            staging.stop_waiting()
        findings += found.result()


class _Follower:
    """The state of the thread that hashes behind the writers.

    Attributes:
        is_stopped: whether nobody waits for the outcome any more.
        is_alone: whether all is written, and only this is still at work.
    """

    def __init__(self, job: Job, staging: Staging, plan: LoadPlan, models: Collection[Model]) -> None:
        self.is_stopped = self.is_alone = False
        self._load, self._accepted, self._report = job.load, job.accepted, job.effects.terminal.report
        self._staging = staging
        total = sum(file.size for model in models for file in model.files if len(file.chunks) > 1)
        self._progress = Transfer("checking models as a whole", total, self._say, job.effects.clock.monotonic)
        # What was here before is read from where it lies, not from the parts.
        self._fresh: dict[str, Member] = {
            content.sha256: member for member, content in plan.carried if not staging.is_done(content)
        }
        self._wanted: dict[str, Wanted] = {content.sha256: content for content in plan.wanted}
        self._sizes = {item.sha256: item.size for item in list_content(job.manifest)}

    def _say(self, line: str) -> None:
        """Show progress, but not while others write: then theirs is shown."""
        if self.is_alone:
            self._report(line)

    def check(self, models: Collection[Model]) -> Iterator[Finding]:
        """Find files whose chunks are right and whose whole is not the manifest's; ends where a chunk is not there."""
        for model in models:
            for file in model.files:
                # Of a file of one chunk the manifest itself says the same twice.
                digest = self._hash(model, file) if len(file.chunks) > 1 else file.sha256
                if digest is None:
                    return
                if digest != file.sha256:
                    yield build_contradiction(file, digest)

    def _hash(self, model: Model, file: ModelFile) -> str | None:
        digest = hashlib.sha256()
        for sha256, offset in list_offsets(file, self._sizes):
            if not self._staging.wait_done(self._wanted[sha256]) or self.is_stopped:
                return None
            for piece in self._read(sha256, model_path(model, file), offset):
                digest.update(piece)
                self._progress.add(len(piece))
        return digest.hexdigest()

    def _read(self, sha256: str, path: str, offset: int) -> Iterator[bytes]:
        member = self._fresh.get(sha256)
        part = self._accepted.find_part(member) if member else None
        if member and part and len(self._accepted.list_copies(member)) == 1:
            return self._load.reader.read_range(part, member.offset, member.size)
        return self._staging.read(path, offset, self._sizes[sha256])
