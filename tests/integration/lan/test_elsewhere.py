"""A client on another machine: it reaches the gateway by TLS with verification on, and in no other way."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.app_site import find_result
from tests.integration.lan.elsewhere import Elsewhere, explain_no_elsewhere
from tests.integration.stack_site import ANSWERS, ENDLESS_QUESTION, STACKCTL, Site
from tests.lan_certificates import make_company_pair
from tests.ports import claim_ports
from tests.processes import list_listening
from tests.programs import require_program
from tests.waiting import wait_for

# Each of them starts or changes a whole stack several times.
pytestmark = pytest.mark.timeout(900)

NAME, OTHER = "gpu.test", "other.test"
QUESTION = next(iter(ANSWERS))


@dataclass(frozen=True)
class Lan:
    """A site with TLS in front, and a machine elsewhere."""

    site: Site
    there: Elsewhere

    @property
    def port(self) -> str:
        return self.site.settings["LAN_PORT"]

    @property
    def url(self) -> str:
        return f"https://{NAME}:{self.port}"

    @property
    def authority(self) -> str:
        return str(self.site.state / "lan" / "ca.pem")

    def curl(self, url: str, *options: str, authority: str = "") -> subprocess.CompletedProcess[str]:
        """Ask from there; the body, and after it status and version of HTTP."""
        trusted = ["--cacert", authority] if authority else []
        shown = ["--write-out", "\n%{http_code} %{http_version}"]
        return self.there.run("curl", "--silent", "--show-error", "--max-time", "60", *trusted, *shown, *options, url)

    def ask(self, path: str, *options: str, host: str = NAME, key: str = "GATEWAY_KEY") -> tuple[str, str]:
        """Body, and status with version, of an answer by TLS with verification on."""
        headers = ["--header", f"Authorization: Bearer {self.site.keys[key]}"] if key else []
        done = self.curl(f"https://{host}:{self.port}{path}", *headers, *options, authority=self.authority)
        assert done.returncode == 0, done.stderr
        body, _, status = done.stdout.rpartition("\n")
        return body, status


@pytest.fixture(scope="module")
def lan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lan]:
    require_program("caddy", "caddy")
    if reason := explain_no_elsewhere():
        pytest.skip(reason)
    with Elsewhere.open(NAME, OTHER) as there:
        site = Site.create(tmp_path_factory.mktemp('a "quoted" site'))
        try:
            port, *_ = claim_ports()
            options = ["--port", str(port), "--address", there.server, "--name", NAME, "--name", there.server]
            site.run("lan", "enable", *options)
            site.run("up")
            yield Lan(site, there)
        finally:
            site.stop()


def write_chat(question: str, *, stream: bool = False) -> tuple[str, ...]:
    body = {"model": "local-chat", "stream": stream, "messages": [{"role": "user", "content": question}]}
    return "--header", "Content-Type: application/json", "--data", json.dumps(body)


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_it_is_answered_by_name_with_verification_on(lan: Lan, version: str) -> None:
    body, status = lan.ask("/v1/chat/completions", f"--http{version}", *write_chat(QUESTION))
    assert status == f"200 {version}"
    assert json.loads(body)["choices"][0]["message"]["content"] == ANSWERS[QUESTION]


def test_it_is_answered_by_address_too(lan: Lan) -> None:
    assert lan.ask("/v1/models", host=lan.there.server)[1] == "200 2"


def test_a_wrong_name_and_an_unknown_authority_are_refused_by_the_client(lan: Lan) -> None:
    assert lan.curl(f"https://{OTHER}:{lan.port}/v1/models", authority=lan.authority).returncode in (35, 60)
    assert lan.curl(f"{lan.url}/v1/models").returncode == 60
    assert lan.curl(f"{lan.url}/v1/models", "--header", "Host: evil.example", authority=lan.authority).stdout.endswith(
        "421 2"
    )


def test_plain_http_does_not_answer_there(lan: Lan) -> None:
    gateway = lan.site.settings["API_GATEWAY_PORT"]
    assert lan.curl(f"http://{NAME}:{gateway}/health/liveness").returncode == 7
    assert lan.curl(f"http://{NAME}:{lan.port}/health/liveness").stdout.splitlines()[-1].startswith("400 ")
    pids = lan.site.find_pids()
    loopback = "0100007F"
    caddy = pids.pop("caddy")
    assert {address for address, _ in list_listening(list(pids.values()))} == {loopback}
    assert {port for _, port in list_listening([caddy])} == {int(lan.port)}


def test_nobody_is_let_in_for_being_near(lan: Lan) -> None:
    """To the gateway every client looks like loopback: it asks each for a key, and administration is not to be had."""
    assert lan.ask("/v1/models", key="")[1] == "401 2"
    for path in ("/admin", "/metrics"):
        assert lan.ask(path, key="GATEWAY_ADMIN_KEY")[1] == "404 2"
    forged = ("--header", "X-Forwarded-For: 127.0.0.1", "--header", "Forwarded: for=127.0.0.1")
    assert lan.ask("/v1/models", *forged, key="")[1] == "401 2"


def test_a_stream_comes_piece_by_piece(lan: Lan) -> None:
    with open_stream(lan) as stream:
        assert stream.stdout is not None
        assert stream.stdout.readline().startswith("data: ")
        assert stream.poll() is None


@contextmanager
def open_stream(lan: Lan) -> Iterator[subprocess.Popen[str]]:
    """An answer without an end, by TLS from there, until the end of the block."""
    key = f"Authorization: Bearer {lan.site.keys['GATEWAY_KEY']}"
    chat = write_chat(ENDLESS_QUESTION, stream=True)
    argv = ["curl", "--silent", "--no-buffer", "--cacert", lan.authority, "--header", key, *chat]
    enter = lan.there.enter(*argv, f"{lan.url}/v1/chat/completions")
    process = subprocess.Popen(enter, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_tool_is_connected_there_with_the_printed_line(lan: Lan, tmp_path: Path) -> None:
    shown = lan.site.run("lan", "show").stdout
    (line,) = [item.strip() for item in shown.splitlines() if "stackctl connect TOOL" in item]
    assert line == f"SSL_CERT_FILE=stack-ca.pem stackctl connect TOOL --url {lan.url} --key-file - --write"
    key = lan.site.run_json("keys", "create", "kim")["secret"]
    arguments = line.replace("TOOL", "claude-code").split()[2:]
    home = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
    done = lan.there.run(*STACKCTL, *arguments, stdin=f"{key}\n", SSL_CERT_FILE=lan.authority, **home)
    assert done.returncode == 0, done.stderr
    assert f"NODE_EXTRA_CA_CERTS={lan.authority}" in done.stderr
    written = (tmp_path / ".claude" / "settings.json").read_text()
    assert lan.url in written
    assert key in written
    assert key not in done.stdout + done.stderr


def test_without_the_authority_connect_says_what_to_do(lan: Lan, tmp_path: Path) -> None:
    def run(url: str, **variables: str) -> str:
        argv = [*STACKCTL, "connect", "curl", "--url", url, "--key-file", "-"]
        done = lan.there.run(*argv, stdin="sk-any\n", HOME=str(tmp_path), **variables)
        assert done.returncode == 6
        return done.stderr

    said = run(lan.url)
    assert "is not trusted here" in said
    assert "SSL_CERT_FILE=stack-ca.pem" in said
    said = run(f"https://{OTHER}:{lan.port}", SSL_CERT_FILE=lan.authority)
    assert "has no certificate for that name" in said


@pytest.mark.parametrize(
    ("program", "variable"),
    [
        (
            ["node", "-e", "fetch(process.argv[1]).then(r => console.log(r.status), e => console.log(e.cause.code))"],
            "NODE_EXTRA_CA_CERTS",
        ),
        (
            [
                sys.executable,
                "-c",
                "import sys, httpx; print(httpx.get(sys.argv[1]).status_code)",
            ],
            "SSL_CERT_FILE",
        ),
    ],
    ids=["node", "python"],
)
def test_programs_trust_it_by_the_variable_that_is_shown(lan: Lan, program: list[str], variable: str) -> None:
    if not shutil.which(program[0]):
        pytest.skip(f"{program[0]} is not installed")
    url = f"{lan.url}/health/liveness"
    assert variable in lan.site.run("lan", "show").stdout
    assert lan.there.run(*program, url, **{variable: lan.authority}).stdout.strip() == "200"
    assert lan.there.run(*program, url).stdout.strip() != "200"


def test_health_asks_by_tls_and_the_key_is_its_owners_alone(lan: Lan) -> None:
    status, detail = find_result(lan.site, "app", "caddy")
    assert (status, detail.partition(";")[0]) == ("ok", f"answers by TLS as {NAME}")
    assert (lan.site.state / "lan" / "ca-key.pem").stat().st_mode & 0o777 == 0o600
    key = (lan.site.state / "lan" / "ca-key.pem").read_text().splitlines()[1].encode()
    holders = {path.name for path in lan.site.path.rglob("*") if path.is_file() and key in path.read_bytes()}
    assert holders == {"ca-key.pem"}


def test_the_companys_certificate_is_renewed_while_a_stream_goes_on_and_disable_closes(tmp_path: Path) -> None:
    require_program("caddy", "caddy")
    if reason := explain_no_elsewhere():
        pytest.skip(reason)
    chain, key = tmp_path / "gpu.pem", tmp_path / "gpu-key.pem"

    def give_out() -> None:
        pair = make_company_pair(NAME)
        key.write_text(pair.key)
        key.chmod(0o600)
        chain.write_text(pair.chain)

    with Elsewhere.open(NAME) as there:
        site = Site.create(tmp_path / "site")
        lan = CompanyLan(site, there, chain)
        try:
            give_out()
            port, *_ = claim_ports()
            options = ["--port", str(port), "--address", there.server, "--name", NAME]
            site.run("lan", "enable", *options, "--certificate", str(chain), "--key", str(key))
            site.run("up")
            assert lan.ask("/v1/models")[1] == "200 2"
            before, served = site.find_pids()["caddy"], chain.read_text()
            with open_stream(lan) as stream:
                assert stream.stdout is not None
                stream.stdout.readline()
                give_out()
                site.run("up")
                wait_for(
                    lambda: lan.curl(f"{lan.url}/health/liveness", authority=str(chain)).returncode == 0, "renewal"
                )
                assert chain.read_text() != served
                stream.stdout.readline()
                assert stream.stdout.readline() or stream.stdout.readline()
                assert stream.poll() is None
            assert site.find_pids()["caddy"] == before
            site.run("lan", "disable")
            assert lan.curl(f"{lan.url}/health/liveness", authority=str(chain)).returncode == 7
            with site.client() as client:
                assert client.get("/v1/models").status_code == 200
        finally:
            site.stop()


@dataclass(frozen=True)
class CompanyLan(Lan):
    """The same with the company's certificate."""

    chain: Path

    @property
    def authority(self) -> str:
        return str(self.chain)
