"""The gateway in the local network, in containers: another machine reaches it by TLS alone.

TLS is put in front of the shared stack while it runs, and the last test takes it away again.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.docker.outside import GREETING, Outside
from tests.docker.required import give_up
from tests.docker.sites import ANSWERS, Site, run_inside
from tests.integration.lan.elsewhere import Elsewhere, explain_no_elsewhere
from tests.ports import claim_port

pytestmark = pytest.mark.docker

NAME, OTHER = "gpu.test", "other.test"
# Of the certificate authority that `lan enable` makes.
CERTIFICATE, KEY = "ca.pem", "ca-key.pem"
# Linux's number of CAP_NET_BIND_SERVICE is 10.
BOUNDS = f"{1 << 10:016x}"


@dataclass(frozen=True, slots=True)
class Lan:
    """The shared stack with TLS in front, and a machine elsewhere that knows this one by two names."""

    site: Site
    there: Elsewhere
    port: int

    @property
    def authority(self) -> str:
        return str(self.site.folder / ".stack" / "lan" / CERTIFICATE)

    def curl(self, path: str, *options: str, host: str = NAME, authority: str = "") -> subprocess.CompletedProcess[str]:
        """Ask by TLS from there; the body, and behind it the status."""
        trusted = ["--cacert", authority] if authority else []
        argv = ["curl", "--silent", "--show-error", "--max-time", "60", *trusted, "--write-out", "\n%{http_code}"]
        return self.there.run(*argv, *options, f"https://{host}:{self.port}{path}")

    def ask(self, path: str, *options: str) -> tuple[str, str]:
        """All that came, and the status, of an answer by TLS with verification on."""
        done = self.curl(path, *options, authority=self.authority)
        assert done.returncode == 0, done.stderr
        text, _, status = done.stdout.rpartition("\n")
        return text, status


@pytest.fixture(scope="module")
def lan(running: Site) -> Iterator[Lan]:
    if reason := explain_no_elsewhere():
        give_up(f"no machine elsewhere can be made: {reason}")
    with Elsewhere.open(NAME, OTHER) as there:
        port = claim_port()
        try:
            running.run_well("lan", "enable", "--name", NAME, "--port", str(port), "--address", there.server)
            yield Lan(running, there, port)
        finally:
            if running.values["STACK_APPS"]:
                running.run_well("lan", "disable")


def test_another_machine_chats_by_name_with_verification_on(lan: Lan) -> None:
    body = json.dumps({"model": "local-chat", "messages": [{"role": "user", "content": "ping"}], "temperature": 0})
    key = ("--header", f"Authorization: Bearer {lan.site.keys['GATEWAY_KEY']}")
    text, status = lan.ask("/v1/chat/completions", *key, "--json", body)
    assert status == "200", text
    assert json.loads(text)["choices"][0]["message"]["content"] == ANSWERS["ping"]
    assert lan.ask("/v1/models")[1] == "401"
    assert lan.curl("/v1/models").returncode == 60, "who was not told of the authority does not believe it"
    assert lan.curl("/v1/models", host=OTHER, authority=lan.authority).returncode in (35, 60)


def test_http_stays_on_loopback(lan: Lan) -> None:
    published = {
        (service, item["HostIp"], int(item["HostPort"]))
        for service, container in lan.site.list_containers().items()
        for group in (container.attrs["NetworkSettings"]["Ports"] or {}).values()
        for item in group or ()
    }
    assert published == {("ingress", "127.0.0.1", lan.site.port), ("caddy", lan.there.server, lan.port)}

    def ask(port: int) -> str:
        argv = ("curl", "--silent", "--max-time", "20", "--output", "/dev/null", "--write-out", "%{http_code}")
        return lan.there.run(*argv, f"http://{NAME}:{port}/health/liveness").stdout

    assert ask(lan.site.port) == "000"
    assert ask(lan.port) == "400", "on the port of TLS plain HTTP is refused"


def test_its_container_is_locked_down(lan: Lan) -> None:
    caddy = lan.site.list_containers()["caddy"]
    # Docker's init, then Caddy; the shell that wrote the files is Caddy by now.
    code, text = run_inside(caddy, "sh", "-c", 'cat /proc/1/status "/proc/$(pidof caddy)/status"')
    assert code == 0, text
    kept = re.findall(r"^(Uid|Gid|Cap\w+|NoNewPrivs):\s+(.+)$", text, re.MULTILINE)
    nobody = ("\t".join(["10001"] * 4),) * 2
    none = "0" * 16
    assert set(kept) == {
        *zip(("Uid", "Gid"), nobody, strict=True),
        *((name, none) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")),
        ("CapBnd", BOUNDS),
        ("NoNewPrivs", "1"),
    }
    assert len(kept) == 2 * 8
    for path in ("/file", "/etc/caddy/file", "/config/file", "/data/file"):
        code, text = run_inside(caddy, "sh", "-c", f"echo x > {path}")
        assert code != 0
        assert "Read-only file system" in text, text
    host = caddy.attrs["HostConfig"]
    assert (host["Privileged"], host["CapDrop"], host["Devices"]) == (False, ["ALL"], None)
    assert (host["PidMode"], host["IpcMode"], host["PidsLimit"]) == ("", "private", 512)
    assert host["Memory"] == host["MemorySwap"] == 256 << 20
    assert [(mount["RW"], mount["Destination"]) for mount in caddy.attrs["Mounts"]] == [(False, "/etc/caddy/lan.json")]


def test_from_its_container_no_other_machine_is_reached(lan: Lan, outside: Outside) -> None:
    assert outside.answers(), "what is asked for is there"
    caddy = lan.site.list_containers()["caddy"]
    code, text = run_inside(caddy, "wget", "-q", "-Y", "off", "-T", "3", "-O", "-", outside.url)
    assert (code, GREETING in text) == (1, False)
    assert run_inside(caddy, "nslookup", "models.example.com")[0] != 0


def test_the_authority_s_key_is_its_owner_s_alone(lan: Lan) -> None:
    path = lan.site.folder / ".stack" / "lan" / KEY
    assert path.stat().st_mode & 0o777 == 0o600
    mark = path.read_text().splitlines()[1]
    files = {item.name for item in lan.site.folder.rglob("*") if item.is_file() and mark.encode() in item.read_bytes()}
    assert files == {KEY}
    caddy = lan.site.list_containers()["caddy"]
    environment = json.dumps(caddy.attrs["Config"].pop("Env"))
    assert mark in environment, "the search finds nothing"
    assert mark not in json.dumps(caddy.attrs) + json.dumps(caddy.top()) + caddy.logs().decode()
    assert mark not in run_inside(caddy, "sh", "-c", 'cat "/proc/$(pidof caddy)/environ"')[1]
    code, modes = run_inside(caddy, "sh", "-c", "stat -c '%a %u' /tmp/lan/key.pem /tmp/lan")
    assert (code, modes) == (0, "600 10001\n700 10001")


def test_health_sees_it(lan: Lan) -> None:
    code, report = lan.site.load_health()
    assert code == 0, report
    found = [item["detail"] for item in report["results"] if (item["layer"], item["subject"]) == ("app", "caddy")]
    assert found == ["answers /health/liveness of the gateway"]


def test_the_page_is_shown_under_the_site_s_name_and_no_other(lan: Lan) -> None:
    text, status = lan.ask("/", "--include", "--header", "Accept-Language: en")
    assert status == "200"
    head, _, page = text.partition("\n\n")
    (policy,) = re.findall(r"^content-security-policy: (.+)$", head, re.MULTILINE | re.IGNORECASE)
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert f'<code><span data-slot="url">https://{NAME}:{lan.port}</span>/v1</code>' in page
    for asset in re.findall(r'(?:href|src)="(/page/[^"]+)"', page):
        assert lan.ask(asset)[1] == "200", asset
    gateway = f"http://127.0.0.1:{lan.site.port}/"

    def ask_here(host: str) -> str:
        argv = ["curl", "--silent", "--noproxy", "*", "--header", f"Host: {host}", gateway]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    assert "<!doctype html>" in ask_here(NAME).lower()
    assert "unknown_host" in ask_here("evil.example")
    assert lan.ask("/", "--header", "Host: evil.example")[1] == "421"


def test_disable_takes_it_away(lan: Lan) -> None:
    before = lan.site.list_ids()
    lan.site.run_well("lan", "disable")
    after = lan.site.list_ids()
    assert set(before) - set(after) == {"caddy"}
    assert before["inference-chat"] == after["inference-chat"], "no engine was made anew for it"
    assert lan.curl("/v1/models", authority=lan.authority).returncode == 7
    assert lan.site.run_well("chat", "ping").stdout.strip() == ANSWERS["ping"]
