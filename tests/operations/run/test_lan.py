"""The gateway in the local network: what is written, what is refused, and what a start makes of it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from stackctl.core.settings.dotenv import parse_dotenv
from stackctl.errors import ConfigError, Severity
from stackctl.operations.look.doctor import run_doctor
from stackctl.operations.run.lan import LanEffects, Wanted, disable, enable, show
from stackctl.operations.run.up import run_up
from stackctl.operations.site.load import load_site
from stackctl.operations.site.render import render_site
from tests.fakes import SITE, World, raised_by, write_env
from tests.lan_certificates import NOW, make_authority, make_company_pair

CA, CA_KEY = SITE / ".stack/lan/ca.pem", SITE / ".stack/lan/ca-key.pem"
OWN = ("gpu", "10.77.0.1")


@pytest.fixture
def world(world: World) -> World:
    world.programs["caddy"] = "/usr/bin/caddy"
    world.date = NOW
    world.environment["STACK_RUNTIME"] = "process"
    return world


def turn_on(world: World, *names: str, **wanted: object) -> Path | None:
    lan = LanEffects(lambda: OWN, lambda given, now: make_authority(*given, now=now))
    return enable(world.effects, lan, Wanted(names, **wanted)).authority  # type: ignore[arg-type]


def read_env(world: World) -> dict[str, str]:
    return dict(parse_dotenv(world.files[SITE / ".env"]).values)


def company(world: World, *names: str) -> dict[str, str]:
    """Arguments that name a company's certificate, whose files are there."""
    pair = make_company_pair(*names)
    world.files |= {Path("/etc/tls/gpu.pem"): pair.chain, Path("/etc/tls/gpu-key.pem"): pair.key}
    world.modes[Path("/etc/tls/gpu-key.pem")] = 0o600
    return {"certificate": "/etc/tls/gpu.pem", "key": "/etc/tls/gpu-key.pem"}


def test_makes_an_authority_with_a_key_for_its_owner_alone_and_writes_env(world: World) -> None:
    assert turn_on(world) == CA
    assert (world.modes[CA_KEY], world.modes[SITE / ".env"]) == (0o600, 0o600)
    assert "PRIVATE KEY" in world.files[CA_KEY]
    assert "PRIVATE KEY" not in world.files[CA]
    env = read_env(world)
    assert (env["STACK_APPS"], env["LAN_NAMES"]) == ("lan", "gpu,10.77.0.1")


def test_other_apps_stay_and_once_more_changes_nothing(world: World) -> None:
    world.files[SITE / ".env"] = write_env(STACK_APPS="redis", REDIS_PASSWORD="planted-redis-password")
    turn_on(world, "gpu.example")
    before = dict(world.files)
    assert turn_on(world) is None
    assert world.files == before
    assert read_env(world)["STACK_APPS"] == "redis,lan"
    disable(world.effects)
    assert read_env(world)["STACK_APPS"] == "redis"
    assert CA in world.files


def test_another_name_needs_another_authority_and_says_so(world: World) -> None:
    turn_on(world, "gpu.example")
    before = dict(world.files)
    error = raised_by(lambda: turn_on(world, "gpu.example", "other.example"))
    assert "cannot vouch for other.example" in str(error)
    assert "--new-ca" in error.hint
    assert world.files == before
    assert turn_on(world, "other.example", is_new_ca=True) == CA
    assert world.files[CA] != before[CA]


@pytest.mark.parametrize("name", ["gpu example", "*.example", "10.77.0"])
def test_a_name_that_is_none_changes_nothing(world: World, name: str) -> None:
    before = dict(world.files)
    assert "neither a host name nor an address" in str(raised_by(lambda: turn_on(world, name)))
    assert world.files == before


def test_the_companys_certificate_is_checked_before_anything_is_written(world: World) -> None:
    wanted = company(world, "gpu.example")
    before = dict(world.files)
    assert "is not for other.example" in str(raised_by(lambda: turn_on(world, "other.example", **wanted)))
    assert world.files == before
    assert turn_on(world, "gpu.example", **wanted) is None
    assert CA not in world.files
    assert read_env(world)["LAN_CERTIFICATE"] == "/etc/tls/gpu.pem"
    shown = show(world.effects)
    assert (shown.url, shown.certificate, shown.is_company) == ("https://gpu.example:8443", "/etc/tls/gpu.pem", True)


@pytest.mark.parametrize("runtime", ["process", "compose"])
def test_up_starts_it_in_front_of_a_gateway_on_loopback(world: World, runtime: str) -> None:
    world.environment["STACK_RUNTIME"] = runtime
    turn_on(world)
    assert "caddy" in run_up(world.effects).started
    environment = render_site(world.effects, load_site(world.effects)).process_services[-1].environment
    assert environment["GATEWAY_HOST"] == "127.0.0.1"
    assert environment["GATEWAY_HOSTS"] == "gpu"


def test_a_stack_that_runs_is_changed_at_once(world: World) -> None:
    run_up(world.effects)
    turn_on(world)
    assert "caddy" in world.running
    disable(world.effects)
    services = render_site(world.effects, load_site(world.effects)).process_services
    assert "caddy" not in [service.name for service in services]


def test_what_cannot_start_leaves_env_as_it_was(world: World) -> None:
    run_up(world.effects)
    before = world.files[SITE / ".env"]
    del world.programs["caddy"]
    error = raised_by(lambda: turn_on(world))
    assert "lan needs caddy" in str(error)
    assert error.hint == "apt-get install caddy"
    assert world.files[SITE / ".env"] == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("no authority", "there is no certificate authority in /site/.stack/lan"),
        ("no name", "no name is given"),
        ("expired", "expired on"),
        ("no address", "LAN_ADDRESS: is '10.77'; expected an IP address of this machine"),
        ("other key", "is the key of another certificate"),
        ("no certificate", "LAN_CERTIFICATE: is /site/tls.pem, which is not there"),
    ],
)
def test_nothing_starts_with_what_clients_would_refuse(world: World, change: str, said: str) -> None:
    turn_on(world)
    if change == "no authority":
        del world.files[CA]
    elif change == "no name":
        world.files[SITE / ".env"] = write_env(STACK_APPS="lan")
    elif change == "no address":
        world.files[SITE / ".env"] += "LAN_ADDRESS=10.77\n"
    elif change == "expired":
        world.date = NOW + timedelta(days=3650)
    elif change == "other key":
        world.files[CA_KEY] = make_authority("gpu").key
    else:
        world.files[SITE / ".env"] += "LAN_CERTIFICATE=tls.pem\nLAN_CERTIFICATE_KEY=key.pem\n"
    error = raised_by(lambda: run_up(world.effects))
    assert isinstance(error, ConfigError)
    assert said in str(error)
    assert error.hint
    assert world.running == []
    assert said in "\n".join(item.render_text() for item in run_doctor(world.effects))


def test_doctor_tells_of_the_end_and_of_a_clock_that_is_behind(world: World) -> None:
    def list_said() -> list[tuple[Severity, str]]:
        return [(item.severity, item.message) for item in run_doctor(world.effects) if item.subject == "lan"]

    turn_on(world)
    assert list_said() == [
        (Severity.OK, f"the certificate authority is valid until {NOW + timedelta(days=3650):%Y-%m-%d}")
    ]
    world.date = NOW + timedelta(days=3600)
    assert list_said() == [(Severity.WARNING, f"expires on {NOW + timedelta(days=3650):%Y-%m-%d}")]
    world.date = NOW - timedelta(hours=20)
    assert "this machine's clock says" in list_said()[0][1]
    world.date = NOW
    world.modes[CA_KEY] = 0o644
    assert list_said() == [(Severity.WARNING, "others may read the key (mode 0644, expected 0600)")]


def test_the_key_stands_in_no_rendered_file(world: World) -> None:
    turn_on(world)
    line = world.files[CA_KEY].splitlines()[1]
    assert not [
        name for name, text in render_site(world.effects, load_site(world.effects)).files.items() if line in text
    ]


@pytest.mark.parametrize(("address", "is_warned"), [("0.0.0.0", True), ("10.0.0.1", True), ("127.0.0.1", False)])
def test_plain_http_beyond_loopback_is_warned_of(world: World, address: str, is_warned: bool) -> None:
    world.environment |= {"STACK_RUNTIME": "compose", "BIND_ADDRESS": address}
    said = [item for item in run_up(world.effects).warnings if item.subject == "BIND_ADDRESS"]
    assert bool(said) == is_warned
    assert all("others in the network can read them" in item.message and "lan enable" in item.hint for item in said)
