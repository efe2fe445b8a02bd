"""The variables of the chat API: their defaults, and words for wrong ones."""

from __future__ import annotations

import pytest
from chat_api.config.settings import DEFAULT_SYSTEM_MESSAGE, SettingsError, parse_settings

SECRET = "planted-secret-77aa"


def test_defaults() -> None:
    settings = parse_settings({})
    assert (settings.host, settings.port, settings.gateway_url) == ("127.0.0.1", 5601, "http://127.0.0.1:8000")
    assert (settings.defaults.model, settings.defaults.temperature, settings.defaults.max_tokens) == (
        "local-chat", 0.7, 1000,
    )  # fmt: skip
    assert settings.defaults.system_message == DEFAULT_SYSTEM_MESSAGE
    assert (settings.store.is_on, settings.cache_entries, settings.takes_provider_keys) == (False, 0, False)


def test_values_are_read() -> None:
    settings = parse_settings({
        "CHAT_API_DEFAULT_SYSTEM_MESSAGE": "", "CHAT_API_LOG_LEVEL": "INFO",
        "CHAT_API_ALLOWED_HOSTS": "Chat.example, b,",
        "CHAT_API_GATEWAY_URL": "http://gateway:8000/", "CHAT_API_GATEWAY_KEY": SECRET,
        "CHAT_API_DATABASE_URL": f"postgresql://u:{SECRET}@h/d", "CHAT_API_SESSIONS": "disk",
    })  # fmt: skip
    assert settings.defaults.system_message == ""
    assert settings.allowed_hosts == {"chat.example", "b"}
    assert settings.gateway_url == "http://gateway:8000"
    assert settings.store.is_on
    assert SECRET not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PORT", "0", "expected a whole number from 1 to 65535"),
        ("PORT", "5601x", "seen|5601x"),
        ("PARALLEL", "-1", "expected a whole number"),
        ("DEFAULT_TEMPERATURE", "2.5", "expected a number from 0 to 2"),
        ("DEFAULT_TEMPERATURE", "nan", "expected a number from 0 to 2"),
        ("SESSIONS", "memory", "expected off or disk"),
        ("SESSIONS", "disk", "set CHAT_API_FOLDER, or CHAT_API_DATABASE_URL"),
        ("HISTORY", "keep", "expected drop or summarise"),
        ("LOG_LEVEL", "loud", "expected info or debug or warning or error"),
        ("GATEWAY_URL", f"http://u:{SECRET}@h", "expected http://HOST:PORT"),
        ("GATEWAY_URL", "http://h:1/v1", "without it"),
        ("GATEWAY_KEY", f"{SECRET} x", "expected ASCII without spaces"),
        ("DATABASE_URL", f"mysql://{SECRET}", "expected postgresql://"),
    ],
)
def test_wrong_values_are_told(name: str, value: str, expected: str) -> None:
    with pytest.raises(SettingsError, match=expected) as told:
        parse_settings({f"CHAT_API_{name}": value})
    assert f"CHAT_API_{name}" in str(told.value)
    assert SECRET not in str(told.value)
