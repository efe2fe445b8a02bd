"""Ask registries which images tags name now. Reads manifests, pulls nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from stackctl.adapters.registry.registry import Registry
from stackctl.errors import StackError


def find_digests(references: Sequence[str], report: Callable[[str], None]) -> Mapping[str, str | StackError]:
    """The digest that each name stands for: of the index where an image is for several platforms.

    Names are asked for at once, because a registry that does not answer is waited for half a minute.

    Returns:
        Each name's digest, or the error that says why there is none.
    """

    def find(reference: str) -> str | StackError:
        registry = Registry(report=report)
        try:
            return registry.find_digest(reference)
        except StackError as error:
            return error
        finally:
            registry.close()

    report(f"asking registries for {len(references)} image{'s'[: len(references) != 1]}")
    pool = ThreadPoolExecutor(max_workers=max(len(references), 1))
    try:
        return dict(zip(references, pool.map(find, references), strict=True))
    finally:  # an interruption waits for none of them
        pool.shutdown(wait=False, cancel_futures=True)
