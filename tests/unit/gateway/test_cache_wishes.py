"""What a request's headers leave of a route's rule, and which requests are equal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from gateway.cache.digest import DigestBuilder, hash_keyed
from gateway.cache.wishes import Wish, read_wish
from gateway.catalog.parse import parse_catalog
from gateway.catalog.values import CacheRule, Provider, Route, Target
from gateway.formats.call import Call
from gateway.settings import SettingsError, parse_settings
from gateway.state.values import Caller, Key, Terms

from tests.gateway_calls import ENVIRONMENT

NOTHING = Wish(finds=False, keeps=False, max_age_s=0.0)
ALWAYS, ASKED = CacheRule(max_age_s=60), CacheRule("asked", max_age_s=60)


@pytest.mark.parametrize(
    ("rule", "headers", "expected"),
    [
        (ALWAYS, {}, Wish(True, True, 60)),
        (ASKED, {}, NOTHING),
        (ASKED, {"x-gateway-cache": " USE "}, Wish(True, True, 60)),
        (ASKED, {"x-gateway-cache": "used"}, NOTHING),
        (ALWAYS, {"cache-control": "no-store"}, NOTHING),
        (ALWAYS, {"cache-control": "max-age=5, No-Store"}, NOTHING),
        (ASKED, {"x-gateway-cache": "use", "cache-control": "no-store"}, NOTHING),
        (ALWAYS, {"cache-control": "no-cache"}, Wish(False, True, 60)),
        (ALWAYS, {"cache-control": "max-age=5"}, Wish(True, True, 5)),
        (ALWAYS, {"cache-control": 'max-age="5"'}, Wish(True, True, 5)),
        (ALWAYS, {"cache-control": "max-age=500"}, Wish(True, True, 60)),
        (ALWAYS, {"cache-control": "max-age=99999999999999999999999"}, Wish(False, True, 0)),
        (ALWAYS, {"cache-control": "max-age=-1"}, Wish(False, True, 0)),
        (ALWAYS, {"cache-control": "max-age=\xb2"}, Wish(False, True, 0)),
        (ALWAYS, {"cache-control": "private, , min-fresh=1"}, Wish(True, True, 60)),
    ],
)
def test_a_client_asks_for_less_and_for_more_where_it_may(
    rule: CacheRule, headers: dict[str, str], expected: Wish
) -> None:
    assert read_wish([(name.encode(), value.encode("latin-1")) for name, value in headers.items()], rule) == expected


NEAR, CLOUD = Provider("near", "openai", is_local=True), Provider("cloud", "openai")
TARGETS = (
    Target("far", CLOUD, "m", "chat", "http://far"),
    Target("house", NEAR, "m", "chat", "http://house", key="k", headers=(("a", "b"),), revision="1"),
)
ROUTE = Route("chat", TARGETS, cache=CacheRule())
SHARED = replace(ROUTE, cache=CacheRule(is_shared=True))
CALL = Call("chat", {"messages": [{"role": "user", "content": "x"}], "seed": 1}, "chat", "r", Caller("client"))


def name_key(number: int, created_at: float = 1.0, local_only: bool = False) -> Caller:
    return Caller("k", key=Key(number, "k", Terms(local_only=local_only), created_at))


def digest(route: Route = ROUTE, code: str = "1", **changes: Any) -> bytes | None:
    return DigestBuilder(code).build(replace(CALL, **changes), route)


def change_target(**changes: Any) -> Route:
    return replace(ROUTE, targets=(TARGETS[0], replace(TARGETS[1], **changes)))


def test_everything_that_changes_the_answer_changes_the_digest() -> None:
    others = [
        digest(format="completions"),
        digest(asked="alias"),
        digest(body={**CALL.body, "seed": 2}),
        digest(headers={"anthropic-beta": "a"}),
        digest(code="2"),
        digest(caller=Caller("admin")),
        *(digest(caller=name_key(*key)) for key in ((1,), (2,), (1, 2.0))),
        digest(change_target(base_url="http://other")),
        digest(change_target(revision="2")),
        digest(change_target(model="n")),
        digest(change_target(key="l")),
        digest(change_target(headers=())),
        digest(replace(ROUTE, targets=TARGETS[:1])),
        digest(replace(ROUTE, targets=TARGETS[::-1])),
        digest(replace(ROUTE, defaults={"seed": 1})),
        digest(SHARED),
    ]
    assert len({digest(), *others}) == len(others) + 1
    assert digest(body=dict(reversed(list(CALL.body.items()))), request_id="another", size_bytes=7) == digest()


def test_the_order_within_a_field_is_kept() -> None:
    one, two = ({"tools": [{"a": 1, "b": 2}]}, {"tools": [{"b": 2, "a": 1}]})
    assert digest(body=one) != digest(body=two)


def test_where_it_is_shared_the_rights_alone_tell_keys_apart() -> None:
    free, local = name_key(1), name_key(2, local_only=True)
    assert digest(SHARED, caller=free) == digest(SHARED, caller=Caller("client")) == digest(SHARED, caller=name_key(3))
    assert digest(SHARED, caller=local) == digest(SHARED, caller=name_key(4, local_only=True))
    assert digest(SHARED, caller=local) != digest(SHARED, caller=free)


def test_a_key_of_the_site_makes_other_digests() -> None:
    assert DigestBuilder("1", hash_keyed(b"a")).build(CALL, ROUTE) not in (
        digest(),
        DigestBuilder("1", hash_keyed(b"b")).build(CALL, ROUTE),
    )


def test_another_key_of_the_environment_is_another_caller() -> None:
    one, two = (DigestBuilder("1", secrets={"client": text}).build(CALL, ROUTE) for text in "ab")
    assert one != two


def test_what_is_nested_too_deeply_has_none() -> None:
    value: Any = 1
    for _ in range(2000):
        value = [value]
    assert digest(body={"messages": value}) is None


@pytest.mark.parametrize(
    ("cache", "words"),
    [({"when": "never"}, "always, asked"), ({"max_age_s": 0}, "no time"), ({"max_age_s": "x"}, "could not convert")],
)
def test_a_rule_that_there_is_not_is_no_configuration(cache: dict[str, Any], words: str) -> None:
    document = {
        "model_list": [{"model_name": "a", "litellm_params": {"model": "openai/x", "api_base": "http://x"}}],
        "gateway": {"routes": {"a": {"cache": cache}}},
    }
    with pytest.raises(ValueError, match=words):
        parse_catalog(str(document), {})


def test_a_key_that_is_too_short_is_refused_and_none_is_shown() -> None:
    with pytest.raises(SettingsError, match="GATEWAY_CACHE_KEY has 9 characters; expected at least 32"):
        parse_settings({**ENVIRONMENT, "GATEWAY_CACHE_KEY": "too-short"})
    assert "s" * 32 not in repr(parse_settings({**ENVIRONMENT, "GATEWAY_CACHE_KEY": "s" * 32}))
