"""A caller's own key for a provider: where it is taken, and whom it reaches."""

from __future__ import annotations

import pytest
from gateway.catalog.parse import parse_catalog
from gateway.catalog.values import Provider, ProviderKeyRule, Route, Target
from gateway.errors import RefusedError
from gateway.formats.call import Call
from gateway.policy.provider_key import find_provider_key, use_key, wants_own_alone
from gateway.routing.targets import list_targets

NAMES = {"house": True, "one": False, "other": False}
TARGETS = {
    name: Target(name, Provider(name, "openai", is_local=is_local), "m", "chat", "http://x", key=f"key of {name}")
    for name, is_local in NAMES.items()
}


def build_route(rule: ProviderKeyRule, *names: str) -> Route:
    return Route("mine", tuple(TARGETS[name] for name in names), provider_key=rule)


def find(rule: ProviderKeyRule, *sent: bytes) -> str:
    """The key that is taken, or the code of the refusal."""
    headers = [(b"authorization", b"Bearer a"), *((b"x-provider-key", value) for value in sent)]
    try:
        return find_provider_key(headers, build_route(rule, "house", "one"))
    except RefusedError as refusal:
        is_repeated = any(value in refusal.error.message.encode("latin-1") for value in sent if value)
        return "it is repeated" if is_repeated else f"{refusal.error.status} {refusal.error.code}"


@pytest.mark.parametrize(
    ("rule", "sent", "expected"),
    [
        ("never", (), ""),
        ("never", (b"sk-own",), "403 provider_key_not_taken"),
        ("allowed", (), ""),
        ("allowed", (b" sk-own ",), "sk-own"),
        ("required", (), "403 provider_key_needed"),
        ("required", (b"sk-own",), "sk-own"),
        ("allowed", (b"",), "400 invalid_provider_key"),
        ("allowed", (b"two words",), "400 invalid_provider_key"),
        ("allowed", (b"\xff\xfe\xfd\xfc",), "400 invalid_provider_key"),
        ("allowed", (b"x" * 1025,), "400 invalid_provider_key"),
        ("allowed", (b"sk-own", b"sk-other"), "400 invalid_provider_key"),
    ],
)
def test_a_key_is_taken_where_the_route_says_so(rule: ProviderKeyRule, sent: tuple[bytes, ...], expected: str) -> None:
    assert find(rule, *sent) == expected


def test_a_key_reaches_one_provider_outside_and_no_other() -> None:
    route = build_route("allowed", "house", "one", "other")
    used = {target.name: use_key(target, route, "sk-own").key for target in route.targets}
    assert used == {"house": "key of house", "one": "sk-own", "other": "key of other"}
    assert [use_key(target, route, "") for target in route.targets] == list(route.targets)


def test_where_a_key_is_required_nobody_elses_is_used_up() -> None:
    call = Call("chat", {}, "mine", "r", provider_key="sk-own")
    for rule, expected in (("allowed", ["house", "one", "other"]), ("required", ["house", "one"])):
        route = build_route(rule, "house", "one", "other")  # type: ignore[arg-type]
        assert [target.name for target in list_targets(call, route)] == expected


def test_a_caller_who_pays_alone_is_answered_by_nobody_else() -> None:
    call = Call("chat", {}, "mine", "r", provider_key="sk-own", is_on_own_key=True)
    for rule in ("allowed", "required"):
        route = build_route(rule, "house", "one", "other")
        assert [target.name for target in list_targets(call, route)] == ["one"]
    with pytest.raises(RefusedError) as caught:
        list_targets(call, build_route("allowed", "house"))
    assert (caught.value.error.status, caught.value.error.code) == (403, "provider_key_not_taken")


@pytest.mark.parametrize(
    ("sent", "key", "expected"),
    [
        ((), "sk-own", False),
        ((b"false",), "", False),
        ((b" True ",), "sk-own", True),
        ((b"true",), "", "403 provider_key_needed"),
        ((b"1",), "sk-own", "400 invalid_provider_key"),
        ((b"",), "sk-own", "400 invalid_provider_key"),
        ((b"true", b"false"), "sk-own", "400 invalid_provider_key"),
    ],
)
def test_who_pays_alone_says_so_in_one_way(sent: tuple[bytes, ...], key: str, expected: object) -> None:
    try:
        found: object = wants_own_alone([(b"x-provider-key-only", value) for value in sent], key)
    except RefusedError as refusal:
        found = f"{refusal.error.status} {refusal.error.code}"
    assert found == expected


def test_the_key_is_not_shown_by_what_holds_it() -> None:
    assert "sk-own" not in repr(Call("chat", {}, "mine", "r", provider_key="sk-own"))
    assert "sk-own" not in repr(use_key(TARGETS["one"], build_route("allowed", "one"), "sk-own"))


def test_a_rule_that_there_is_not_is_no_configuration() -> None:
    model = '{"model_name": "a", "litellm_params": {"model": "openai/x", "api_base": "http://x"}}'
    with pytest.raises(ValueError, match="never, allowed, required"):
        parse_catalog(f'{{"model_list": [{model}], "gateway": {{"routes": {{"a": {{"provider_key": "yes"}}}}}}}}', {})
