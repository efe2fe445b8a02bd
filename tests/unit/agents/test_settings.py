"""What the agents read from their environment, and what they say of a wrong value."""

from __future__ import annotations

import pytest
from agents.settings import SettingsError, parse_settings


def test_without_variables_only_callers_with_a_key_are_served_and_on_loopback() -> None:
    settings = parse_settings({})

    assert (settings.host, settings.port, settings.is_open) == ("127.0.0.1", 5602, False)
    assert (settings.model, settings.attempts, settings.language) == ("local-chat", 3, "ko")


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("AGENTS_PORT", "0", "from 1 to 65535"),
        ("AGENTS_ATTEMPTS", "11", "from 1 to 10"),
        ("AGENTS_PARALLEL", "9" * 5000, "from 1 to 1024"),
        ("AGENTS_LANGUAGE", "fr", "expected ko or en"),
        ("AGENTS_LOG_LEVEL", "all", "expected debug, info, warning or error"),
        ("AGENTS_OPEN", "maybe", "expected on or off"),
        ("AGENTS_OPEN", "on", "AGENTS_GATEWAY_KEY is empty"),
        ("AGENTS_GATEWAY_URL", "http://h:1/v1", "ends with /v1"),
        ("AGENTS_ALLOWED_HOSTS", "a.example,http://b", "'http://b'"),
    ],
)
def test_a_wrong_value_is_refused_in_words(name: str, value: str, part: str) -> None:
    with pytest.raises(SettingsError, match=name) as raised:
        parse_settings({name: value})

    assert part in str(raised.value)
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize(("name", "value"), [("URL", "http://me:planted@h:1"), ("KEY", "planted secret")])
def test_a_secret_in_a_wrong_value_is_not_repeated(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as raised:
        parse_settings({f"AGENTS_GATEWAY_{name}": value})

    assert "planted" not in str(raised.value)
    assert "planted" not in repr(parse_settings({"AGENTS_GATEWAY_KEY": "planted"}))
