"""HTTP to the world outside, for model files: one request, one answer whose body is read piece by piece.

In: method, URL and headers. Out: a ``Reply``. Redirects are not followed here, because who may see the token is for
the core to say. The company's proxy and certificates apply (``HTTPS_PROXY``, ``SSL_CERT_FILE``, the system's store).
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from stackctl import __version__
from stackctl.core.transfer import HostUnreachable, Reply, TransferInterrupted
from stackctl.errors import ConfigError, RuntimeFailure

CONNECT_TIMEOUT_S = 15.0
# Between two pieces of a body; a line that says nothing for so long is dead.
READ_TIMEOUT_S = 60.0
_RETRY_HINT = "run the command again: it goes on where it stopped"
_CERTIFICATE_HINT = "set BUILD_CA_BUNDLE to the PEM file of the company's certificate authority"


@contextmanager
def open_reply(ca_bundle: Path | None, method: str, url: str, headers: Mapping[str, str]) -> Iterator[Reply]:
    """Ask once; the body is read inside the ``with`` block only.

    Args:
        ca_bundle: PEM file of the company's certificate authority, beside the system's own.

    Raises:
        HostUnreachable: no connection could be made.
        TransferInterrupted: the answer did not come, or its body broke off.
        ConfigError: the certificate file cannot be used.
    """
    # Compressed bytes would make ranges and sizes meaningless.
    sent = {"accept-encoding": "identity", "user-agent": f"stackctl/{__version__}", **headers}
    host = urlsplit(url).hostname or ""
    with _translate_failures(host), _load_client(ca_bundle).stream(method, url, headers=sent) as answer:
        # Pieces as they arrive: collecting larger ones would lose what was collected when a connection breaks.
        received = {name.lower(): value for name, value in answer.headers.items()}
        yield Reply(url, answer.status_code, received, lambda: answer.iter_raw())


@cache
def _load_client(ca_bundle: Path | None) -> httpx.Client:
    """One client for the whole command: connections are reused, and reading the certificate store takes a while."""
    timeout = httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
    return httpx.Client(timeout=timeout, verify=_make_context(ca_bundle), follow_redirects=False)


def _make_context(ca_bundle: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_bundle is not None:
        try:
            context.load_verify_locations(ca_bundle)
        except OSError as error:
            message = f"BUILD_CA_BUNDLE {ca_bundle} cannot be used: {error}."
            raise ConfigError(message, "name a readable PEM file, or clear BUILD_CA_BUNDLE") from error
    return context


@contextmanager
def _translate_failures(host: str) -> Iterator[None]:
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError, httpx.UnsupportedProtocol) as error:
        reason = _describe(error)
        hint = _CERTIFICATE_HINT if "CERTIFICATE_VERIFY_FAILED" in reason else _RETRY_HINT
        raise HostUnreachable(f"This machine cannot reach {host}: {reason}.", hint) from error
    except httpx.InvalidURL as error:
        raise RuntimeFailure(f"{host or 'The server'} redirects to what is no web address.", _RETRY_HINT) from error
    except httpx.TimeoutException as error:
        raise TransferInterrupted(f"{host} sent nothing for {READ_TIMEOUT_S:g} s.", _RETRY_HINT) from error
    except httpx.TransportError as error:
        raise TransferInterrupted(f"The connection to {host} broke: {_describe(error)}.", _RETRY_HINT) from error


def _describe(error: Exception) -> str:
    return str(error).rstrip(".") or type(error).__name__
