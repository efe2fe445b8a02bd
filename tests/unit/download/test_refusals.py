"""What a refusal means: words and a next step that fit who refused."""

from __future__ import annotations

import pytest

from stackctl.core.download.hub import Source
from stackctl.core.download.refusals import explain_status, read_retry_after
from stackctl.core.download.transfer import Reply, TransferInterrupted

HUB = "https://hub.example"
DIGEST = "ab" * 32
SOURCE = Source("m.gguf", f"{HUB}/a/b/resolve/main/m.gguf", "hf:a/b/m.gguf@main", is_hub=True)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 418, 429, 451, 500, 503])
def test_every_refusal_has_words_and_a_next_step(status: int) -> None:
    error = explain_status(SOURCE, Reply("", status, {"retry-after": "7"}), "hub.example", has_token=False)
    assert str(status) in error.message
    assert "hub.example" in error.message
    assert error.hint
    if isinstance(error, TransferInterrupted):
        assert error.retry_after_s == 7.0


DATES = {"date": "Sat, 21 Nov 2026 14:00:00 GMT", "retry-after": "Sat, 21 Nov 2026 14:02:05 GMT"}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        ({"retry-after": "17"}, 17),
        ({"retry-after": "9" * 5000}, 0),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "soon"}, 0),
        (DATES, 125),
        ({**DATES, "retry-after": "Sat, 21 Nov 2026 13:00:00 GMT"}, 0),
        ({**DATES, "date": ""}, 0),
        ({**DATES, "date": "Sat, 21 Nov 2026 14:00:00"}, 0),
    ],
)
def test_a_wait_is_read_as_seconds_or_as_a_date(headers: dict[str, str], seconds: float) -> None:
    assert read_retry_after(headers) == seconds


def test_a_long_wait_is_said() -> None:
    error = explain_status(SOURCE, Reply("", 429, {"retry-after": "5400"}), "hub.example", has_token=False)
    assert "in 1 h 30 min" in error.hint


PLAIN = Source("m.gguf", "https://files.example/m.gguf", "https://files.example/m.gguf")


@pytest.mark.parametrize(
    ("source", "url", "code", "has_token", "words"),
    [
        (SOURCE, SOURCE.url, "GatedRepo", False, ["gated", "accept its terms", "set HF_TOKEN"]),
        (SOURCE, SOURCE.url, "GatedRepo", True, ["gated", "accept its terms", "account of HF_TOKEN"]),
        (SOURCE, SOURCE.url, "", False, ["private", "set HF_TOKEN"]),
        (SOURCE, SOURCE.url, "", True, ["check HF_TOKEN"]),
        (SOURCE, "https://storage.example/m?signature=1", "", True, ["the hub sent us there", "proxy"]),
        (PLAIN, PLAIN.url, "", True, ["login", "models add m.gguf"]),
    ],
)
def test_who_refused_decides_the_next_step(
    source: Source, url: str, code: str, has_token: bool, words: list[str]
) -> None:
    error = explain_status(source, Reply(url, 403, {"x-error-code": code}), "some.example", has_token)
    text = f"{error.message} {error.hint}"
    for word in words:
        assert word in text
    # The token opens the hub alone, so nobody else's refusal is a reason to look for one.
    assert ("HF_TOKEN" in text) is (source.is_hub and url == source.url)
