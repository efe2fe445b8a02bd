"""What a site's apps need of the machine, of the installed release and of each runtime. Does I/O through effects."""

from __future__ import annotations

from stackctl.core.apps.catalog import choose_apps, list_image_settings
from stackctl.core.apps.postgres import POSTGRES
from stackctl.core.settings.dotenv import parse_dotenv
from stackctl.core.settings.settings import Settings, split_names
from stackctl.core.site.loaded_site import LoadedSite
from stackctl.errors import Finding, Severity
from stackctl.operations.effects import Effects, Machine


def check_app_programs(machine: Machine, settings: Settings, folders: tuple[str, ...] = ()) -> list[Finding]:
    """Check that the programs of the site's apps are on this machine: the process runtime installs none of Debian's.

    Args:
        folders: where programs of apps may also be.
    """
    return [
        Finding("STACK_APPS", f"{app.name} needs {program.name}", f"apt-get install {program.package}")
        for app in choose_apps(settings)
        for program in app.programs
        if machine.find_program(program.name, (*program.folders, *folders)) is None
    ]


def check_app_images(loaded: LoadedSite) -> list[Finding]:
    """Check that the installed release has an image for each service of the site's apps that does not name one."""
    settings = list_image_settings(loaded.settings)
    title = loaded.release.title if loaded.release else ""
    return [
        Finding(
            settings[service],
            f"release {title} has no image for {service}",
            f"pack again with STACK_APPS={loaded.settings.stack_apps}, or name an image that is here by"
            f" {settings[service]}",
        )
        for service, image in loaded.images.apps.items()
        if not image
    ]


def check_app_wheels(loaded: LoadedSite) -> list[Finding]:
    """Check that the installed release has the packages of the site's apps that are the stack's own."""
    if loaded.release is None:
        return []
    packed = split_names(parse_dotenv(loaded.release.settings_text).values.get("STACK_APPS", ""))
    hint = f"pack again with STACK_APPS={loaded.settings.stack_apps}, or take it out of STACK_APPS"
    return [
        Finding("STACK_APPS", f"release {loaded.release.title} has no packages for {app.name}", hint)
        for app in choose_apps(loaded.settings)
        if app.own and app.name not in packed
    ]


def explain_apps(settings: Settings, folder: str) -> list[Finding]:
    """What apps lack in the process runtime."""
    hint = f"look in {folder}, or set STACK_RUNTIME=compose"
    return [
        Finding(f"app {app.name}", app.as_processes, hint, Severity.WARNING)
        for app in choose_apps(settings)
        if app.as_processes
    ]


def find_left_state(effects: Effects, settings: Settings) -> list[Finding]:
    """A warning where keys stand in the site's file and the gateway looks for them in PostgreSQL.

    Of containers the file is in a volume, and the gateway's log says so.
    """
    left = effects.paths.state_dir / "gateway" / "gateway.db"
    is_elsewhere = settings.gateway_database_url or POSTGRES in choose_apps(settings)
    if not is_elsewhere or effects.files.load_facts(left).mode is None:
        return []
    message = f"the gateway's state is in PostgreSQL, and the keys and usage of {left} are not used"
    hint = "give the keys out again, and move the file away; or take the setting back"
    return [Finding("state", message, hint, Severity.WARNING)]
