"""How a registry is told who asks: Docker's own stored logins, and the tokens that registries hand out.

In: ~/.docker/config.json (or DOCKER_CONFIG), the programs ``docker-credential-*``, and a registry's challenge.
Out: the value of an Authorization header. No login or token is ever part of an error message.

Source: distribution-spec, "Token Authentication Specification"; docker/cli, configuration file and credential helpers.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stackctl.core.images.reference import DOCKER_HUB
from stackctl.errors import ImageUnavailable

if TYPE_CHECKING:
    import httpx

_HUB_KEY: Final = "https://index.docker.io/v1/"
_HELPER_NAME: Final = re.compile(r"[A-Za-z0-9_.-]+")
_HELPER_TIMEOUT_S: Final = 60
_TOKEN_USER: Final = "<token>"  # noqa: S105
_PARAMETER: Final = re.compile(r'([a-zA-Z_]+)="((?:[^"\\]|\\.)*)"')
_MAX_TOKEN_BYTES: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class Login:
    """A user's login for one registry; all empty for no login.

    Attributes:
        refresh_token: an OAuth2 identity token, in place of a password.
    """

    user: str = ""
    password: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The header for HTTP Basic; empty for no login."""
        if not self.user or not self.password:
            return ""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a registry asks for in WWW-Authenticate."""

    scheme: str
    parameters: Mapping[str, str]


def find_login(host: str, environment: Mapping[str, str]) -> Login:
    """The login that ``docker login`` stored for a registry; an empty one when there is none.

    Args:
        host: the registry's host as image names spell it, with its port.

    Raises:
        ImageUnavailable: Docker's configuration cannot be read, or a credential helper failed.
    """
    config = _load_config(_find_folder(environment) / "config.json")
    helpers = _read_map(config, "credHelpers")
    helper = helpers.get(host) or config.get("credsStore")
    if helper:
        login = _ask_helper(str(helper), _HUB_KEY if host == DOCKER_HUB else host, environment)
        if login != Login():
            return login
    for key, entry in _read_map(config, "auths").items():
        if _read_host(key) == host and isinstance(entry, dict):
            return _read_entry(entry, host)
    return Login()


def _find_folder(environment: Mapping[str, str]) -> Path:
    """The folder of Docker's own configuration; a user without a home, as in a container, has none that exists."""
    if folder := environment.get("DOCKER_CONFIG"):
        return Path(folder)
    return Path(environment.get("HOME") or os.path.expanduser("~")) / ".docker"  # noqa: PTH111  # that would raise


def parse_challenge(header: str) -> Challenge:
    """Read WWW-Authenticate; of several challenges the first that is Bearer or Basic."""
    match = re.search(r"\b(bearer|basic)\b", header, re.IGNORECASE)
    if not match:
        return Challenge("", {})
    rest = re.split(r",\s*(?:bearer|basic)\s", header[match.end() :], maxsplit=1, flags=re.IGNORECASE)[0]
    return Challenge(match[1].lower(), {key.lower(): value for key, value in _PARAMETER.findall(rest)})


def request_token(client: httpx.Client, challenge: Challenge, login: Login, scope: str) -> str:
    """The Authorization header that a token service gives for a repository.

    Args:
        client: HTTP client that refuses addresses that would show the login to the network.
        scope: the scope to ask for when the challenge does not say.

    Raises:
        ImageUnavailable: the token service refuses.
    """
    realm = challenge.parameters.get("realm", "")
    asked = {"scope": challenge.parameters.get("scope") or scope, "client_id": "stackctl"}
    if service := challenge.parameters.get("service"):
        asked["service"] = service
    if login.refresh_token:
        form = {**asked, "grant_type": "refresh_token", "refresh_token": login.refresh_token}
        answer = client.post(realm, data=form)
    else:
        answer = client.get(realm, params=asked, headers={"Authorization": login.basic} if login.basic else {})
    if answer.status_code != 200:
        is_refused = answer.status_code in (400, 401, 403)
        raise ImageUnavailable(
            f"The token service of the registry answered {answer.status_code}.",
            "log in with 'docker login'" if is_refused else "it is busy or broken: run the command again later",
        )
    return f"Bearer {_read_token(answer.content)}"


def _read_token(body: bytes) -> str:
    try:
        tree = json.loads(body[:_MAX_TOKEN_BYTES])
        token = tree.get("token") or tree["access_token"]
    except (ValueError, KeyError, AttributeError):
        token = ""
    if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
        raise ImageUnavailable("The token service of the registry gave no token.", "log in with 'docker login'")
    return token


def _load_config(path: Path) -> dict[str, Any]:
    try:
        tree = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not JSON"
        raise ImageUnavailable(f"Docker's logins in {path} cannot be read: {reason}.", f"repair {path}") from None
    return tree if isinstance(tree, dict) else {}


def _read_map(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = config.get(name)
    return value if isinstance(value, dict) else {}


def _read_host(key: str) -> str:
    """The host of the registry that a key of ``auths`` stands for: old keys are URLs."""
    host = re.sub(r"^https?://", "", key).partition("/")[0]
    return DOCKER_HUB if host in ("index.docker.io", "registry-1.docker.io") else host


def _read_entry(entry: Mapping[str, Any], host: str) -> Login:
    if isinstance(entry.get("identitytoken"), str) and entry["identitytoken"]:
        return Login(refresh_token=entry["identitytoken"])
    if isinstance(entry.get("username"), str) and isinstance(entry.get("password"), str):
        return Login(entry["username"], entry["password"])
    try:
        user, _, password = base64.b64decode(str(entry.get("auth") or ""), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise ImageUnavailable(f"Docker's login for {host} cannot be read.", f"run 'docker login {host}'") from None
    return Login(user, password.rstrip("\0"))


def _ask_helper(name: str, server: str, environment: Mapping[str, str]) -> Login:
    """Ask a credential helper for a login; no login when it says it knows none, which is not an error."""
    program = f"docker-credential-{name}"
    if not _HELPER_NAME.fullmatch(name):
        raise ImageUnavailable(f"Docker's credential helper {name!r} is not a program's name.", "repair config.json")
    try:
        done = subprocess.run(
            [program, "get"],
            input=server,
            capture_output=True,
            text=True,
            timeout=_HELPER_TIMEOUT_S,
            check=False,
            env=dict(environment),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = error.strerror if isinstance(error, OSError) else f"no answer within {_HELPER_TIMEOUT_S} s"
        raise ImageUnavailable(f"{program} could not be asked: {reason}.", "repair or remove it") from None
    if done.returncode and "not found" in done.stdout + done.stderr:
        return Login()
    try:
        tree = json.loads(done.stdout)
        user, secret = str(tree["Username"]), str(tree["Secret"])
    except (ValueError, KeyError, TypeError):
        raise ImageUnavailable(
            f"{program} gave no login for {server} (code {done.returncode}).", f"run 'docker login {server}'"
        ) from None
    return Login(refresh_token=secret) if user == _TOKEN_USER else Login(user, secret)
