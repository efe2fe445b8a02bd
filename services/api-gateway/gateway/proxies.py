"""Which hosts are asked directly where a company's proxy is set. Does no I/O.

In: a mapping of environment variables, and the stack's own hosts. Out: the variables that keep their calls from the
proxy. Providers still go through it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_NAMES = ("NO_PROXY", "no_proxy")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_EVERY_HOST = "*"


def bypass_proxies(environ: Mapping[str, str], hosts: Iterable[str]) -> dict[str, str]:
    """``NO_PROXY`` and ``no_proxy`` with loopback and these hosts added to what either of them names.

    Both, because readers differ in which of the two they prefer. ``*`` stays alone: within a list it means nothing.
    """
    named = [part.strip() for name in _NAMES for part in environ.get(name, "").split(",")]
    if _EVERY_HOST in named:
        return dict.fromkeys(_NAMES, _EVERY_HOST)
    return dict.fromkeys(_NAMES, ",".join(dict.fromkeys(filter(None, (*named, *_LOOPBACK, *hosts)))))
