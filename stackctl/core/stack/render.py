"""Templates and a Stack to the files that everything runs from. Pure: texts in, texts out, equal bytes for equal input.

Templates hold no logic beyond ``if`` and ``for``; every value passes a filter that writes it for the file's
format, so a quote, a colon, a ``$`` or a newline in a value survives.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined, TemplateError

from stackctl.core.apps.catalog import render_app_files
from stackctl.core.gateway.deployments import limit_slots
from stackctl.core.gateway.standalone import Variable, build_standalone
from stackctl.core.stack.compose_view import build_compose_view
from stackctl.core.stack.image_choice import Images
from stackctl.core.stack.names import COMPOSE_FILE, GATEWAY_CONFIG, GPU_OVERLAYS, RELAY_FILE, SUPERVISOR_FILE
from stackctl.core.stack.services import build_services
from stackctl.core.stack.stack import RuntimePaths, Service, Stack
from stackctl.core.stack.supervisor_view import build_supervisor_view
from stackctl.core.text.printable import hide_user
from stackctl.errors import RenderError

# What JSON leaves as it is and YAML readers refuse or fold.
_UNSAFE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")

# Rendered file to the template, in the project's folders, that it is made from.
TEMPLATES: Mapping[str, str] = {
    COMPOSE_FILE: "compose/compose.p1.yml.j2",
    **{name: f"compose/gpu-{gpu}.yml.j2" for gpu, name in GPU_OVERLAYS.items()},
    GATEWAY_CONFIG: "services/api-gateway/config.p1.yaml.j2",
    SUPERVISOR_FILE: "services/supervisord.p1.conf.j2",
}
# Of the standalone configuration of LiteLLM's own proxy, and of what it has in common with the gateway's.
_LITELLM_TEMPLATE = "services/api-gateway/litellm.yaml.j2"
_MODEL_LIST_TEMPLATE = "services/api-gateway/model_list.yaml.j2"
ALL_TEMPLATES = (*TEMPLATES.values(), _LITELLM_TEMPLATE, _MODEL_LIST_TEMPLATE)


@dataclass(frozen=True, slots=True)
class RenderInput:
    """All that rendering depends on beside the Stack.

    Attributes:
        templates: text of each of ``ALL_TEMPLATES``, by its path.
        process_paths: paths and hosts as the process runtime sees them.
        launcher: command in front of every supervised one.
        images: the images of the compose runtime.
        state_dir: absolute path of the site's state folder.
        relay: text of the ingress's program, which goes beside the Compose file as it is.
    """

    templates: Mapping[str, str]
    process_paths: RuntimePaths
    launcher: tuple[str, ...]
    images: Images
    state_dir: str
    relay: str


@dataclass(frozen=True, slots=True)
class RenderedFiles:
    """Rendered files by relative path, and the services that each runtime starts from them."""

    files: Mapping[str, str]
    compose_services: tuple[Service, ...]
    process_services: tuple[Service, ...]


def render_files(stack: Stack, compose_stack: Stack, source: RenderInput) -> RenderedFiles:
    """Render every file.

    Args:
        stack: the stack as the process runtime runs it.
        compose_stack: the stack as containers run it; the engine may be another one.

    Raises:
        RenderError: a template is wrong; names it and the line.
    """
    environment = _build_environment(source.templates)
    config = _render(environment, GATEWAY_CONFIG, gateway=limit_slots(stack.gateway, compose_stack.gateway))
    digests = tuple(hashlib.sha256(text.encode()).hexdigest()[:16] for text in (config, source.relay))
    compose_services = build_services(compose_stack, RuntimePaths("compose"), *digests)
    process_services = build_services(stack, source.process_paths, *digests)
    compose = build_compose_view(compose_stack, compose_services, source.images)
    files = {
        GATEWAY_CONFIG: config,
        RELAY_FILE: source.relay,
        COMPOSE_FILE: _render(environment, COMPOSE_FILE, compose=compose),
        SUPERVISOR_FILE: _render(
            environment,
            SUPERVISOR_FILE,
            supervisor=build_supervisor_view(stack.settings, process_services, source.state_dir, source.launcher),
        ),
    }
    for name in GPU_OVERLAYS.values():
        files[name] = _render(environment, name, compose=compose)
    files |= render_app_files(stack.settings, source.process_paths.apps)
    files |= render_app_files(compose_stack.settings, RuntimePaths("compose").apps)
    return RenderedFiles(dict(sorted(files.items())), compose_services, process_services)


def render_litellm(stack: Stack, compose_stack: Stack, source: RenderInput) -> str:
    """Render the same routes as a configuration of LiteLLM's own proxy.

    Raises:
        RenderError: a template is wrong; names it and the line.
    """
    here, inside = (
        build_services(item, paths, "", "")[-1].environment
        for item, paths in ((stack, source.process_paths), (compose_stack, RuntimePaths("compose")))
    )
    names = [*(item.url_variable for item in stack.models), *(item.url_variable for item in stack.endpoints)]
    addresses = tuple(
        # An address of the operator's may hold a password.
        Variable(name, hide_user(here[name]), hide_user(inside[name]))
        for name in dict.fromkeys(names)
        if here[name]
    )
    secrets = tuple(sorted({"GATEWAY_KEY", *(["INFERENCE_API_KEY"] if stack.models else []), *stack.variables}))
    standalone = build_standalone(stack.gateway, addresses, secrets)
    return _render_template(_build_environment(source.templates), _LITELLM_TEMPLATE, standalone=standalone)


def write_yaml(value: Any) -> str:
    """A value as a YAML flow scalar or collection: JSON, which every YAML 1.1 and 1.2 reader takes literally."""
    if isinstance(value, Mapping):
        value = dict(value)
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(value, ensure_ascii=False))


def write_compose(value: Any) -> str:
    """A value as YAML with ``$`` doubled, because Compose replaces variables inside scalars."""
    return write_yaml(value).replace("$", "$$")


def write_ini(value: Any) -> str:
    """A value for supervisor's INI file: one line, ``%`` doubled because supervisor expands it."""
    return str(value).replace("%", "%%").replace("\n", " ")


def write_ini_twice(value: Any) -> str:
    """The path of a log file for supervisor's INI file, which supervisor expands a second time."""
    return write_ini(value).replace("%", "%%")


def _build_environment(templates: Mapping[str, str]) -> Environment:
    environment = Environment(
        loader=DictLoader(dict(templates)),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701  # YAML and INI, not HTML; every value passes a filter of its own
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(yaml=write_yaml, compose=write_compose, ini=write_ini, ini_twice=write_ini_twice)
    return environment


def _render(environment: Environment, name: str, **context: object) -> str:
    return _render_template(environment, TEMPLATES[name], **context)


def _render_template(environment: Environment, template: str, **context: object) -> str:
    try:
        return environment.get_template(template).render(context)
    except TemplateError as error:
        line = getattr(error, "lineno", None)
        place = f"{template}:{line}" if line else template
        raise RenderError(f"{place}: {error.message or error}", f"correct the template {template}") from error
