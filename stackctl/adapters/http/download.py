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
from urllib.request import getproxies, proxy_bypass

import httpx

from stackctl import __version__
from stackctl.core.download.transfer import GO_ON_HINT, HostUnreachable, Reply, TransferInterrupted
from stackctl.errors import ConfigError, RuntimeFailure

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
CONNECT_TIMEOUT_S = 15.0
# Between two pieces of a body; a line that says nothing for so long is dead.
READ_TIMEOUT_S = 60.0
_CERTIFICATE_HINT = "set BUILD_CA_BUNDLE to the PEM file of the company's certificate authority"


@contextmanager
def open_reply(ca_bundle: Path | None, method: str, url: str, headers: Mapping[str, str]) -> Iterator[Reply]:
    """Ask once; the body is read inside the ``with`` block only.

    Args:
        ca_bundle: PEM file of the company's certificate authority, used beside the system's own.

    Raises:
        HostUnreachable: no connection could be made.
        TransferInterrupted: the answer did not come, or its body broke off.
        ConfigError: the certificate file cannot be used.
    """
    # Compressed bytes would make ranges and sizes meaningless.
    sent = {"accept-encoding": "identity", "user-agent": f"stackctl/{__version__}", **headers}
    with _translate_failures(url), load_client(ca_bundle).stream(method, url, headers=sent) as answer:
        # Pieces as they arrive: collecting larger ones would lose what was collected when a connection breaks.
        received = {name.lower(): value for name, value in answer.headers.items()}
        yield Reply(url, answer.status_code, received, lambda: answer.iter_raw())


@cache
def load_client(ca_bundle: Path | None, proxy: str = "", *, verify: bool = True) -> httpx.Client:
    """One client for the whole command: connections are reused, and reading the certificate store takes a while.

    The proxy that the environment names is used for every host but this machine.

    Args:
        proxy: address of a proxy instead of the one that the environment names.
        verify: whether certificates are checked; where they are not, ask only for what is known by its digest.

    Raises:
        ConfigError: the certificate file or the proxy cannot be used.
    """
    timeout = httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
    context = _make_context(ca_bundle) if verify else False
    try:
        direct = {f"all://{host}": httpx.HTTPTransport(verify=context) for host in _LOOPBACK}
        return httpx.Client(
            timeout=timeout, verify=context, follow_redirects=False, proxy=proxy or None, mounts={} if proxy else direct
        )
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        reason = "SOCKS is not supported" if isinstance(error, ImportError) else _describe(error)
        message = f"The proxy that HTTPS_PROXY, HTTP_PROXY or ALL_PROXY names cannot be used: {reason}."
        raise ConfigError(message, "name it as http://HOST:PORT, or unset the variable") from error


def _make_context(ca_bundle: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_bundle is not None:
        try:
            context.load_verify_locations(ca_bundle)
        except OSError as error:
            message = f"The certificates in {ca_bundle} cannot be used: {error}."
            raise ConfigError(
                message, "name a readable PEM file in BUILD_CA_BUNDLE, and in GATEWAY_CA_BUNDLE for providers"
            ) from error
    return context


@contextmanager
def _translate_failures(url: str) -> Iterator[None]:
    host = urlsplit(url).hostname or "the server"
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError, httpx.UnsupportedProtocol) as error:
        reason = _describe(error)
        # What else can be done depends on what is asked for, and the caller knows that.
        hint = _CERTIFICATE_HINT if "CERTIFICATE_VERIFY_FAILED" in reason else ""
        way = " through the proxy that the environment names" if _has_proxy(url) else ""
        raise HostUnreachable(f"This machine cannot reach {host}{way}: {reason}.", hint) from error
    except httpx.InvalidURL as error:
        raise RuntimeFailure(f"The address on {host} is no web address.", "check HF_ENDPOINT or the address") from error
    except httpx.TimeoutException as error:
        raise TransferInterrupted(f"{host} sent nothing for {READ_TIMEOUT_S:g} s.", GO_ON_HINT) from error
    except httpx.TransportError as error:
        raise TransferInterrupted(f"The connection to {host} broke: {_describe(error)}.", GO_ON_HINT) from error


def _has_proxy(url: str) -> bool:
    parts, proxies = urlsplit(url), getproxies()
    is_near = parts.netloc.rpartition(":")[0] in _LOOPBACK or parts.netloc in _LOOPBACK
    return bool({parts.scheme, "all"} & set(proxies)) and not is_near and not proxy_bypass(parts.hostname or "")


def _describe(error: Exception) -> str:
    return str(error).rstrip(".") or type(error).__name__
