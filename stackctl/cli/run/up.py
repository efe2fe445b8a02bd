"""``stackctl up``: start the stack and end with proof that it answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stackctl.cli.console import print_json, print_table, print_text, print_warnings
from stackctl.cli.context import Context
from stackctl.core.apps.catalog import list_own_services
from stackctl.core.apps.lan import find_url as find_lan_url
from stackctl.core.apps.own_service import find_url as find_own_url
from stackctl.core.settings.places import find_gateway_url
from stackctl.core.settings.settings import split_names

if TYPE_CHECKING:
    from stackctl.operations.run.up import DryRun, UpResult


@click.command()
@click.option("--profile", type=click.Choice(["p1"]), help="Which set of services to run.")
@click.option("--runtime", type=click.Choice(["auto", "compose", "process"]), help="Containers or processes.")
@click.option(
    "--apps",
    metavar="NAME,...",
    help="Services beside the gateway, also for later commands: STACK_APPS in .env, with the keys they need; or none.",
)
@click.option("--gpu", type=click.Choice(["auto", "none", "nvidia", "amd", "vulkan"]), help="GPU for the engines.")
@click.option(
    "--wait-timeout",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long to wait for readiness; by default it follows from the models' sizes.",
)
@click.option("--build-engine", is_flag=True, help="Build an engine for the GPU that is there, without Docker.")
@click.option("--dry-run", is_flag=True, help="Print what would change and which commands would run.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_obj
def up(
    context: Context,
    profile: str | None,
    runtime: str | None,
    apps: str | None,
    gpu: str | None,
    wait_timeout: float | None,
    build_engine: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Start the stack and wait until it answers."""
    from stackctl.operations.run.up import preview_up, run_up
    from stackctl.operations.site.choose_apps import keep_apps, suppose_apps

    context = Context(context.site)
    flags = {
        "STACK_PROFILE": profile,
        "STACK_RUNTIME": runtime,
        "STACK_GPU": gpu,
        "STACK_BUILD_ENGINE": "always" if build_engine else None,
    }
    with context.open(flags) as effects:
        names = None if apps is None else ",".join(name for name in split_names(apps) if name != "none")
        if dry_run:
            preview = preview_up(suppose_apps(effects, names) if names else effects)
        else:
            context.remember()  # what it names is in use from here on, whatever becomes of it
            for line in () if names is None else keep_apps(effects, names):
                effects.terminal.report(line)
            result = run_up(effects, wait_timeout)
    if dry_run:
        print_warnings(preview.warnings)
        _show_preview(preview, as_json=as_json)
        return
    print_warnings(result.warnings)
    if as_json:
        print_json(_describe(result))
    else:
        _show(result, context.site)


def _show_preview(preview: DryRun, *, as_json: bool) -> None:
    """Print what would change, and which commands would run."""
    if as_json:
        print_json(
            {
                "runtime": preview.runtime,
                "device": preview.device,
                "difference": preview.difference,
                "commands": preview.commands,
            }
        )
        return
    print_text(preview.difference or "The rendered files are current.")
    print_text("\n".join(["", "Commands:", *(f"  {command}" for command in preview.commands)]))


def _describe(result: UpResult) -> dict[str, Any]:
    return {
        "url": find_gateway_url(result.running.loaded.settings),
        "runtime": result.report.runtime,
        "device": result.report.device,
        "started": result.started,
        "status": result.report.status,
    }


def _show(result: UpResult, site: Path) -> None:
    """Print what is up, the proof that it answers, and what to do with it."""
    release = result.running.loaded.release
    source = f", from release {release.title}" if release else ""
    if result.started:
        print_text(f"The stack is up in the {result.report.runtime} runtime, on {result.report.device}{source}.")
    else:
        print_text(f"The stack is up{source}; nothing had to change.")
    answers = [item for item in result.report.results if item.layer in ("completion", "embeddings", "rerank")]
    print_table(("model", "proof", ""), [(item.subject, item.layer, item.detail) for item in answers])
    url = find_gateway_url(result.running.loaded.settings)
    settings = result.running.loaded.settings
    others = find_lan_url(settings)
    own = [f"\n  {service}   {find_own_url(settings, service)}" for service in list_own_services(settings)]
    print_text(
        f"\n  URL   {url}/v1  (OpenAI)   {url}  (Anthropic)"
        + (f"\n  LAN   {others}/v1; 'stackctl lan show' says how other machines connect" if others else "")
        + "".join(own)
        + f"\n  key   GATEWAY_KEY in {site / '.env'}"
        "\n\nTry next:"
        "\n  stackctl chat 'What are you?'"
        "\n  stackctl health"
    )
    if not release and any(model.is_demo and model.mode == "chat" for model in result.running.plan.stack.models):
        print_text("  set CHAT_MODEL in .env to a GGUF file in models/, then stackctl up")
