"""Requests to registries: logged in where they ask for it, tried again while they are busy, continued where they broke.

In: an image's name and a path below it. Out: bytes as the registry stores them. Does I/O: HTTP. Plain HTTP is used for
registries on this machine only, as Docker does; a company's proxy (HTTPS_PROXY) and certificates (SSL_CERT_FILE) are
honoured.

Source: OCI distribution-spec 1.1 (pull); RFC 9110, range requests.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stackctl.adapters.registry.registry_auth import find_login, parse_challenge, request_token
from stackctl.core.images.reference import DOCKER_HUB, ImageReference
from stackctl.errors import BundleError, ImageUnavailable

if TYPE_CHECKING:
    import httpx

CHUNK_BYTES: Final = 1 << 20
# Attempts without one new byte; the pauses between them add up to half a minute.
ATTEMPTS: Final = 6
_MAX_PAUSE_S: Final = 60.0
_TIMEOUT_S: Final = 60.0
_CONNECT_TIMEOUT_S: Final = 15.0
_HUB_HOST: Final = "registry-1.docker.io"
_LOOPBACK: Final = re.compile(r"(localhost|127(?:\.\d{1,3}){3}|\[::1\]|::1)(:\d+)?")
_CERTIFICATES: Final = Path("/etc/docker/certs.d")
_BUSY: Final = frozenset({408, 429, 500, 502, 503, 504})


class RegistryConnection:
    """Registries, asked with the logins that Docker has for them; one object for one thread.

    Args:
        environment: variables that say where Docker's configuration is.
        sleep: waits so many seconds between attempts.
        report: called with a line that says why it waits.
    """

    def __init__(
        self, environment: Mapping[str, str], sleep: Callable[[float], None], report: Callable[[str], None]
    ) -> None:
        self._environment = environment
        self._sleep = sleep
        self._report = report
        self._clients: dict[str, httpx.Client] = {}
        self._headers: dict[tuple[str, str], str] = {}

    def close(self) -> None:
        """Close every connection."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def load_document(
        self, image: ImageReference, path: str, accept: str, limit: int
    ) -> tuple[bytes, Mapping[str, str]]:
        """Bytes of a small document, and the headers it came with.

        Raises:
            ImageUnavailable: the registry does not give the document.
            BundleError: the document has more than ``limit`` bytes.
        """
        import httpx

        attempt = 0
        while True:
            try:
                return self._load_once(image, path, accept, limit)
            except httpx.TransportError as error:
                attempt += 1
                self._pause(image, attempt, _describe(error))

    def _load_once(self, image: ImageReference, path: str, accept: str, limit: int) -> tuple[bytes, Mapping[str, str]]:
        data = bytearray()
        with self._ask(image, path, {"Accept": accept}) as answer:
            for chunk in answer.iter_raw(CHUNK_BYTES):
                data += chunk
                if len(data) > limit:
                    raise BundleError(f"The manifest of {image} has more than {limit} bytes.")
            return bytes(data), answer.headers

    def read_on(self, image: ImageReference, path: str, offset: int, end: int) -> Iterator[bytes]:
        """Bytes of a blob from ``offset`` on, over as many connections as it takes while each brings something.

        Raises:
            ImageUnavailable: the registry does not give the bytes.
        """
        import httpx

        attempt = 0
        while offset < end:
            try:
                for chunk in self._read_once(image, path, offset):
                    offset += len(chunk)
                    attempt = 0
                    yield chunk
                return
            except httpx.TransportError as error:
                attempt += 1
                self._pause(image, attempt, _describe(error))

    def _read_once(self, image: ImageReference, path: str, offset: int) -> Iterator[bytes]:
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        with self._ask(image, path, headers) as answer:
            start = _read_start(answer)
            if start is None or start > offset:
                raise ImageUnavailable(f"The registry of {image} answered with another range than asked for.")
            skip = offset - start
            for chunk in answer.iter_raw(CHUNK_BYTES):
                kept = chunk[skip:]
                skip -= len(chunk) - len(kept)
                if kept:
                    yield kept

    @contextmanager
    def _ask(self, image: ImageReference, path: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        """Ask until an answer has content; logs in when the registry asks for it, and waits while it is busy.

        Raises:
            httpx.TransportError: the connection broke while the answer was read.
        """
        import httpx

        attempt, is_refused = 0, False
        while True:
            try:
                answer = self._send(image, path, headers)
            except httpx.TransportError as error:
                attempt += 1
                self._pause(image, attempt, _describe(error))
                continue
            with closing(answer):
                if answer.status_code == 401 and not is_refused:
                    is_refused = True
                    self._log_in(image, answer.headers.get("WWW-Authenticate", ""))
                elif answer.status_code in _BUSY:
                    attempt += 1
                    self._pause(image, attempt, f"it answers {answer.status_code}", answer.headers.get("Retry-After"))
                else:
                    _check_status(image, answer.status_code)
                    yield answer
                    return

    def _send(self, image: ImageReference, path: str, headers: Mapping[str, str]) -> httpx.Response:
        import httpx

        host = _HUB_HOST if image.host == DOCKER_HUB else image.host
        scheme = "http" if _LOOPBACK.fullmatch(image.host) else "https"
        known = self._headers.get((image.host, image.path))
        client = self._client(image.host)
        request = client.build_request(
            "GET",
            f"{scheme}://{host}/v2/{image.path}/{path}",
            # No encoding of the transfer: it is the stored bytes that have the digest.
            headers={**headers, "Accept-Encoding": "identity", **({"Authorization": known} if known else {})},
        )
        try:
            return client.send(request, stream=True, follow_redirects=True)
        except httpx.TooManyRedirects:
            raise ImageUnavailable(
                f"The registry {image.host} leads {image} from one address to the next without end.",
                "check the proxy, or ask who runs the registry",
            ) from None

    def _log_in(self, image: ImageReference, header: str) -> None:
        import httpx

        challenge = parse_challenge(header)
        login = find_login(image.host, self._environment)
        known = ""
        if challenge.scheme == "bearer":
            scope = f"repository:{image.path}:pull"
            try:
                known = request_token(self._client(image.host), challenge, login, scope)
            except (httpx.TransportError, httpx.InvalidURL) as error:
                raise ImageUnavailable(
                    f"The token service of {image.host} does not answer: {error}.", "check the network and the proxy"
                ) from error
        elif challenge.scheme == "basic":
            known = login.basic
        if not known:
            raise ImageUnavailable(
                f"The registry {image.host} asks for a login for {image}, and Docker has none for it.",
                f"run 'docker login {image.host}'",
            )
        self._headers[image.host, image.path] = known

    def _client(self, host: str) -> httpx.Client:
        if host not in self._clients:
            self._clients[host] = _open_client(host)
        return self._clients[host]

    def _pause(self, image: ImageReference, attempt: int, reason: str, retry_after: str | None = None) -> None:
        if "CERTIFICATE_VERIFY_FAILED" in reason:
            raise ImageUnavailable(
                f"The certificate of the registry {image.host} is not trusted: {reason}.",
                "set SSL_CERT_FILE to a file with your company's certificate authority",
            )
        if attempt >= ATTEMPTS:
            raise ImageUnavailable(
                f"The registry {image.host} did not give {image} in {attempt} attempts: {reason}.",
                "check the network and the proxy, then run the command again: it continues where it stopped",
            )
        asked = float(retry_after) if retry_after and retry_after.isdecimal() else 0.0
        self._report(f"waiting for the registry {image.host}: {reason}")
        self._sleep(min(max(asked, 2.0 ** (attempt - 1)), _MAX_PAUSE_S))


def _open_client(host: str) -> httpx.Client:
    """Make a client for a registry: no proxy on this machine, the system's and Docker's own certificates elsewhere.

    Raises:
        ImageUnavailable: a certificate or the proxy's address cannot be used.
    """
    import httpx

    is_near = _LOOPBACK.fullmatch(host) is not None

    def check_address(request: httpx.Request) -> None:
        # A redirect or a token service must not show the login or the image to the network.
        if request.url.scheme != "https" and not (is_near and _LOOPBACK.fullmatch(request.url.host)):
            raise ImageUnavailable(f"{host} leads to {request.url.host} without encryption, which is not followed.")

    # OpenSSL's own defaults: the system's authorities, or SSL_CERT_FILE.
    context = ssl.create_default_context()
    for path in sorted((_CERTIFICATES / host).glob("*.crt")):
        try:
            context.load_verify_locations(path)
        except OSError as error:
            raise ImageUnavailable(f"The certificate {path} cannot be read: {error.strerror}.", "repair it") from error
    timeout = httpx.Timeout(_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S)
    try:
        return httpx.Client(
            timeout=timeout, trust_env=not is_near, verify=context, event_hooks={"request": [check_address]}
        )
    except (ImportError, ValueError, httpx.InvalidURL):
        # Their text may hold the proxy's password.
        raise ImageUnavailable(
            f"The proxy for {host} cannot be used: its address is not http:// or https://, or is no address.",
            "set HTTPS_PROXY to an address such as http://proxy.example:3128, and unset ALL_PROXY",
        ) from None


def _describe(error: httpx.TransportError) -> str:
    return str(error) or type(error).__name__


def _read_start(answer: httpx.Response) -> int | None:
    """First byte of the content, 0 where all of it comes; ``None`` where the answer does not say."""
    if answer.status_code != 206:
        return 0
    start = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    return int(start[1]) if start else None


def _check_status(image: ImageReference, status: int) -> None:
    if status in (200, 206):
        return
    reason = {
        401: "refuses the login",
        403: "does not let this login read it",
        404: "does not have it",
    }.get(status, f"answers {status}")
    hint = f"run 'docker login {image.host}'" if status in (401, 403) else "check the name and the tag"
    raise ImageUnavailable(f"The registry {image.host} {reason}: {image}.", hint)
