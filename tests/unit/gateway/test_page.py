"""The page for people: to whom it is shown, under which names, in which language, and what it never says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from gateway.edge.endpoints import find_endpoint
from gateway.errors import RefusedError
from gateway.page import render
from gateway.page.hosts import read_authority
from gateway.page.language import choose_language
from hypothesis import given
from hypothesis import strategies as st

from scripts.page_tools import render_tools
from tests.gateway_calls import CONFIG, build_gate, call, error_of

FILES = Path(render.__file__).parent / "files"
SHOWN = ["/", *(f"/page/{name}" for name in render.FILES)]
AT = {"host": "127.0.0.1:8000"}
CORS = CONFIG.replace("4096", "54321") + '  cors_origins: ["*"]\n'


def read_words(language: str) -> dict[str, Any]:
    words: dict[str, Any] = json.loads((FILES / f"words.{language}.json").read_text(encoding="utf-8"))
    return words


@pytest.mark.parametrize("path", SHOWN)
def test_a_browser_is_told_to_load_nothing_from_elsewhere_and_to_keep_nothing(path: str) -> None:
    response = call(build_gate(config=CORS), "GET", path, None, headers={**AT, "origin": "https://elsewhere.example"})
    assert response.status_code == 200
    policy = {line.split()[0]: line.split()[1:] for line in response.headers["content-security-policy"].split("; ")}
    assert policy == {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "connect-src": ["'self'"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
        "frame-ancestors": ["'none'"],
        "require-trusted-types-for": ["'script'"],
        "trusted-types": ["'none'"],
    }
    for name, value in {
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "cache-control": "no-store",
    }.items():
        assert response.headers[name] == value
    assert "access-control-allow-origin" not in response.headers
    assert "set-cookie" not in response.headers
    kind = {"css": "text/css", "js": "text/javascript"}.get(path.rpartition(".")[2], "text/html")
    assert response.headers["content-type"] == f"{kind}; charset=utf-8"


def test_without_a_key_the_page_says_addresses_and_settings_and_nothing_of_models() -> None:
    text = call(build_gate(config=CORS), "GET", "/", None, headers=AT).text
    assert '<span data-slot="url">http://127.0.0.1:8000</span>/v1</code>' in text
    assert "stackctl keys create" in text
    assert 'id="tool-claude-code"' in text
    assert "&lt;KEY&gt;" in text
    assert not re.search("local-chat|org/embed|54321|hosted_vllm", text)
    assert "{{" not in text  # a place of the template that nobody filled


def test_the_page_loads_only_its_own_files_and_has_no_script_or_style_in_it() -> None:
    text = call(build_gate(), "GET", "/", None, headers=AT).text
    links = set(re.findall(r'(?:src|href)="([^"#]+)"', text))
    assert links == {"/page/style.css", "/page/app.js", "/?lang=en", "/?lang=ko"}
    assert not re.search(r"<script(?! type=\"module\" src=)|<style|\sstyle=|\son\w+=", text)
    imports = {name for file in FILES.glob("*.js") for name in re.findall(r'from "\./([\w.]+)"', file.read_text())}
    assert imports | {"app.js", "style.css"} == set(render.FILES)
    for file in FILES.glob("*.js"):
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|localStorage|cookie =", file.read_text()
        )


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8000",
        "localhost",
        "LOCALHOST:8000",
        "stack.localhost:80",
        "[::1]:8000",
        "192.0.2.7",
        "gpu.example:8000",
    ],
)
def test_the_page_is_shown_under_the_gateways_own_names(host: str) -> None:
    response = call(build_gate(GATEWAY_HOSTS="GPU.example,ai.local"), "GET", "/", None, headers={"host": host})
    assert response.status_code == 200
    assert f">http://{host.lower()}</span>" in response.text


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example", "notlocalhost",
     "gpu.example", "", "127.0.0.1:8000:9", 'localhost"><script>', "user@localhost", "localhost/x", "[::1",
     "localhost,evil.example"],
)  # fmt: skip
@pytest.mark.parametrize("path", [*SHOWN, "/usage"])
def test_under_another_name_nothing_is_shown(host: str, path: str) -> None:
    response = call(build_gate(), "GET", path, headers={"host": host})
    assert (response.status_code, error_of(response)["code"]) == (421, "unknown_host")
    assert "GATEWAY_HOSTS" in error_of(response)["message"]
    assert "evil" not in response.text


def test_a_client_of_the_api_may_use_any_name() -> None:
    gate = build_gate()
    for path in ("/v1/models", "/health", "/health/readiness"):
        assert call(gate, "GET", path, headers={"host": "anything.example"}).status_code == 200


@pytest.mark.parametrize("hosts", [[], ["localhost", "evil.example"], ["localhost", "localhost"]])
def test_one_name_has_to_be_said(hosts: list[str]) -> None:
    with pytest.raises(RefusedError):
        read_authority([(b"host", host.encode()) for host in hosts], ())


@given(st.binary(max_size=60))
def test_any_host_is_ours_or_refused(host: bytes) -> None:
    try:
        authority = read_authority([(b"host", host)], ())
    except RefusedError:
        return
    assert not set(authority) & set("<>&\"' /")


def test_behind_a_proxy_that_ends_tls_the_addresses_are_https() -> None:
    headers = {"host": "localhost", "x-forwarded-proto": "https"}
    assert ">https://localhost</span>/v1" in call(build_gate(), "GET", "/", None, headers=headers).text
    odd = {"host": "localhost", "x-forwarded-proto": '"><script>'}
    assert ">http://localhost</span>/v1" in call(build_gate(), "GET", "/", None, headers=odd).text


@pytest.mark.parametrize(
    ("accepted", "query", "language"),
    [
        ("", "", "en"),
        ("ko", "", "ko"),
        ("ko-KR,ko;q=0.9,en-US;q=0.8", "", "ko"),
        ("en-US,en;q=0.9,ko;q=0.8", "", "en"),
        ("de, ko;q=0.5, en;q=0.4", "", "ko"),
        ("ko;q=0", "", "en"),
        ("*", "", "en"),
        ("ko", "lang=en", "en"),
        ("en", "a=b&lang=ko", "ko"),
        ("en", "lang=../x", "en"),
        ("ko;q=nan, en;q=9", "", "en"),
    ],
)
def test_the_language_is_the_one_that_is_asked_for(accepted: str, query: str, language: str) -> None:
    assert choose_language([(b"accept-language", accepted.encode())], query.encode()) == language
    headers = {**AT, "accept-language": accepted}
    response = call(build_gate(), "GET", f"/?{query}", None, headers=headers)
    assert response.headers["content-language"] == language
    assert response.headers["vary"] == "accept-language"
    assert f'<html lang="{language}">' in response.text


@given(st.binary(max_size=80), st.binary(max_size=30))
def test_any_wish_for_a_language_is_answered(accepted: bytes, query: bytes) -> None:
    assert choose_language([(b"accept-language", accepted)], query) in ("en", "ko")


def test_both_languages_have_the_same_words_and_places() -> None:
    english, korean = read_words("en"), read_words("ko")
    assert list(english) == list(korean)
    assert list(english["script"]) == list(korean["script"])
    flat = [{**words, **words["script"]} for words in (english, korean)]
    for name, text in flat[0].items():
        if isinstance(text, str):
            assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", flat[1][name])), name
    used = {name for file in FILES.glob("*.js") for name in re.findall(r'say\(\s*"(\w+)"', file.read_text())}
    assert used <= set(english["script"])


def test_the_settings_of_tools_are_those_of_connect_and_each_note_is_there_in_korean() -> None:
    text = (FILES / "tools.json").read_text(encoding="utf-8")
    assert text == render_tools(), "run 'make docs'"
    notes = {note for tool in json.loads(text) for note in (*tool["notes"], *filter(None, [tool["obstacle"]]))}
    assert notes == set(read_words("ko")["notes"])


@pytest.mark.parametrize(
    ("language", "tool", "said"),
    [
        ("en", "codex", r"Tried here with version [\d.]+ on \d{4}-\d\d-\d\d\."),
        ("ko", "codex", r"[\d.]+ 버전으로 확인했습니다\(\d{4}-\d\d-\d\d\)\."),
        ("en", "zed", r"From its documentation, \d{4}-\d\d-\d\d; not tried here\."),
        ("en", "cursor", r"It cannot work: its servers ask, and reach no private address\."),
        ("ko", "cursor", r"쓸 수 없습니다: 요청을 그 회사의 서버가 보내며"),
    ],
)
def test_how_well_a_tool_is_known_to_work_is_said(language: str, tool: str, said: str) -> None:
    text = call(build_gate(), "GET", f"/?lang={language}", None, headers=AT).text
    described = text.partition(f'id="tool-{tool}"')[2].partition("</details>")[0]
    assert re.search(f'<p class="aside">{said}', described)


@pytest.mark.parametrize("path", SHOWN)
def test_only_reading_is_answered(path: str) -> None:
    response = call(build_gate(config=CORS), "POST", path, headers=AT, json={})
    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    preflight = {**AT, "origin": "https://elsewhere.example", "access-control-request-method": "GET"}
    answer = call(build_gate(config=CORS), "OPTIONS", path, None, headers=preflight)
    assert "access-control-allow-methods" not in answer.headers
    assert call(build_gate(), "HEAD", path, None, headers=AT).content == b""


@pytest.mark.parametrize(
    "path", ["/page", "/page/", "/page/index.html", "/page/tools.json", "/page/words.ko.json", "/page/../settings.py",
             "/page/%2e%2e/render.py", "/index.html", "/favicon.ico", "/page//app.js"],
)  # fmt: skip
def test_no_other_file_is_given_out(path: str) -> None:
    assert find_endpoint(path) is None
    assert call(build_gate(), "GET", path, None, headers=AT).status_code == 404
