"""What `stackctl config` shows of routes and servers, and what it says decided each value."""

from __future__ import annotations

from stackctl.operations.look.routes import find_demo, load_routes
from stackctl.operations.site.load_settings import load_release, load_settings
from tests.fakes import World, write_env
from tests.golden.rendering import load_world

Shown = dict[tuple[str, str], tuple[str, str]]


def show(world: World) -> tuple[Shown, list[tuple[str, str, str, str]]]:
    """Routes' rows by name and key, and servers' rows as they are."""
    resolved, stackfile = load_settings(world.effects)
    routes, servers = load_routes(world.effects, resolved, stackfile, load_release(world.effects))
    named = {(row.subject, row.key): (row.value, row.origin) for row in routes}
    return named, [(row.subject, row.key, row.value, row.origin) for row in servers]


def test_a_site_without_a_stack_file_has_a_route_for_each_model() -> None:
    routes, servers = show(World())
    assert routes == {
        ("local-chat", "targets"): ("local-chat", "default"),
        ("local-chat", "retries"): ("2 each", "default"),
        ("local-chat", "deadline"): ("600 s", "default"),
        ("local-embed", "targets"): ("local-embed", "default"),
        ("local-embed", "retries"): ("2 each", "default"),
        ("local-embed", "deadline"): ("600 s", "default"),
    }
    times = "connect 5 s, first token 600 s, between tokens 120 s, whole 600 s"
    assert servers[:2] == [
        ("local-chat", "local", "true", "engine of this stack"),
        ("local-chat", "time-outs", times, "default"),
    ]


def test_each_value_of_a_route_says_what_decided_it() -> None:
    routes, servers = show(load_world("routes"))
    assert routes["local-chat", "targets"] == ("local-chat, studio-chat, local-chat-spare", "stack.yml")
    assert routes["local-chat", "retries"] == ("1 each", "stack.yml")
    assert routes["local-chat", "local_only"] == ("true", "stack.yml")
    assert routes["local-chat", "default max_tokens"] == ("1024", "stack.yml")
    assert routes["house", "retries"] == ("0 each", "limits.retries in stack.yml")
    assert routes["claude-*", "stands for"] == ("team-chat", "stack.yml")
    assert [row for row in servers if row[0] == "ollama"] == [
        ("ollama", "kind", "ollama", "stack.yml"),
        ("ollama", "local", "false", "default"),
        ("ollama", "proxied", "false", "default"),
        ("ollama", "time-outs", "connect 10 s", "default"),
        ("ollama", "time-outs", "first token 300 s", "stack.yml"),
        ("ollama", "time-outs", "between tokens 120 s, whole 600 s", "default"),
    ]
    assert ("company", "proxied", "false", "stack.yml") in servers


def test_a_setting_that_decides_is_named_with_its_source() -> None:
    routes, servers = show(World(write_env(GATEWAY_REQUEST_TIMEOUT_S=60)))
    assert routes["local-chat", "deadline"] == ("60 s", "GATEWAY_REQUEST_TIMEOUT_S (.env)")
    assert ("local-chat", "time-outs", "whole 60 s", "GATEWAY_REQUEST_TIMEOUT_S (.env)") in servers


def test_what_another_tools_name_decides_is_named_too() -> None:
    _, servers = show(load_world("seed-names-development"))
    assert ("ollama", "kind", "ollama", "OLLAMA_BASE_URL (.env)") in servers
    assert [row for row in servers if row[1] == "pace"] == [
        ("mycoder", "pace", "500 ms between requests", "MYCODER_LLM_MIN_INTERVAL_MS (.env)")
    ]


def find_demos(world: World, *names: str) -> list[str]:
    """Those of the names at which the demo model is tried first."""
    resolved, stackfile = load_settings(world.effects)
    return [name for name in names if find_demo(world.effects, resolved, stackfile, name)]


def test_a_name_that_leads_to_the_demo_model_is_told_whatever_leads_there() -> None:
    stack = """
version: 1
providers:
  other: {kind: openai, api_base: https://ai.example/v1, models: {good: {model: m}}}
routes:
  first-good: {targets: [good, local-chat]}
  first-demo: {targets: [local-chat], fallbacks: [good]}
aliases: {"gpt-*": local-chat, "o*": good}
"""
    names = ("local-chat", "local-embed", "good", "first-good", "first-demo", "gpt-4", "o1", "unheard-of")

    assert find_demos(World(stack=stack), *names) == ["local-chat", "local-embed", "first-demo", "gpt-4"]
    assert find_demos(World(write_env(CHAT_MODEL="m.gguf"), stack), *names) == ["local-embed"]
