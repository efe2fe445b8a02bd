"""Give out, list, show, change, revoke and rotate keys.

In: a name and terms. Out: keys as the gateway describes them. Does I/O through its effects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from stackctl.core.access.replies import explain_refusal
from stackctl.core.health.probes import list_model_names
from stackctl.core.settings.places import find_gateway_url
from stackctl.errors import Finding, Severity, suggest_nearest
from stackctl.operations.access.administer import Administered, ask, run_action
from stackctl.operations.effects import Effects
from stackctl.operations.site.load_settings import load_settings


@dataclass(frozen=True, slots=True)
class KeyResult:
    """A key, and what comes with it.

    Attributes:
        key: its fields as the gateway names them; never a secret.
        secret: what a client sends, where there is a new one; else empty.
        stopped_in: as ``Administered`` says.
    """

    key: Mapping[str, Any]
    secret: str = field(default="", repr=False)
    stopped_in: str = ""
    warnings: tuple[Finding, ...] = ()


def create_key(effects: Effects, name: str, terms: Mapping[str, Any]) -> KeyResult:
    """Give a key out.

    Args:
        terms: the action's fields that say what it may.

    Raises:
        ConfigError: the name is taken or cannot be given, or a limit makes no sense.
    """
    done = _finish(run_action(effects, {"do": "keys.create", "name": name, **terms}))
    return replace(done, warnings=_check_models(effects, done))


def change_key(effects: Effects, name: str, terms: Mapping[str, Any]) -> KeyResult:
    """Change what a key may; what is not in the terms stays, and None takes a limit away.

    Raises:
        ConfigError: there is no such key, or a limit makes no sense.
    """
    done = _finish(_ask_by_name(effects, {"do": "keys.change", "name": name, **terms}))
    return replace(done, warnings=_check_models(effects, done) if "models" in terms else ())


def rotate_key(effects: Effects, name: str, grace_s: float) -> KeyResult:
    """Give a key a new secret; the old one works for so many seconds more.

    Raises:
        ConfigError: there is no such key, or it has expired.
    """
    return _finish(_ask_by_name(effects, {"do": "keys.rotate", "name": name, "grace_s": grace_s}))


def revoke_key(effects: Effects, name: str) -> KeyResult:
    """End a key for good.

    Raises:
        ConfigError: there is no such key.
    """
    return _finish(_ask_by_name(effects, {"do": "keys.revoke", "name": name}))


def show_key(effects: Effects, name: str) -> KeyResult:
    """One key.

    Raises:
        ConfigError: there is no such key.
    """
    return _finish(_ask_by_name(effects, {"do": "keys.show", "name": name}))


def list_keys(effects: Effects, *, revoked: bool) -> Administered:
    """Every key, oldest first.

    Args:
        revoked: whether those that were revoked are listed, too.
    """
    return run_action(effects, {"do": "keys.list", "revoked": revoked})


def _ask_by_name(effects: Effects, action: Mapping[str, Any]) -> Administered:
    """Do an action on a key that must be there; where it is not, name the nearest."""
    reply, stopped_in = ask(effects, action)
    if reply.status == 200:
        return Administered(reply.body, stopped_in)
    refusal = explain_refusal(reply)
    if reply.is_absence:
        refusal.hint = suggest_nearest(str(action["name"]), _list_names(effects)) or refusal.hint
    raise refusal


def _list_names(effects: Effects) -> list[str]:
    return [str(key.get("name")) for key in list_keys(effects, revoked=False).body.get("keys", ())]


def _finish(done: Administered) -> KeyResult:
    return KeyResult(done.body["key"], str(done.body.get("secret", "")), done.stopped_in)


def _check_models(effects: Effects, done: KeyResult) -> tuple[Finding, ...]:
    """Warn of a model that the running gateway does not list: a slip of the pen would show in the client's error."""
    wanted = done.key.get("models") or ()
    if not wanted or done.stopped_in:
        return ()
    settings = load_settings(effects)[0].values
    answer = effects.network.fetch(f"{find_gateway_url(settings)}/v1/models?aliases=true", key=settings.gateway_key)
    served = list_model_names(answer) if answer.status == 200 else []
    return tuple(
        Finding(
            "models",
            f"the gateway serves nothing that '{name}' names",
            suggest_nearest(name, served) or f"served are: {', '.join(served)}",
            Severity.WARNING,
        )
        for name in wanted
        # Either may be a pattern: a key's models, and the names that stand for others.
        if served and not any(fnmatchcase(model, name) or fnmatchcase(name, model) for model in served)
    )
