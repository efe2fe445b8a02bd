"""``stackctl lan``: the gateway in the local network, by TLS."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stackctl.cli.console import print_json, print_note, print_piece, print_table, print_text, print_warnings
from stackctl.cli.context import Context

if TYPE_CHECKING:
    from stackctl.operations.run.lan import Shown

_as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
_file = click.Path(exists=True, dir_okay=False, resolve_path=True, path_type=Path)


@click.group()
def lan() -> None:
    """Let other machines reach the gateway by TLS: Caddy stands in front of it.

    Its own HTTP stays on loopback. docs/guides/lan.md has the whole way, and what each tool needs.
    """


@lan.command(short_help="Put TLS in front of the gateway.")
@click.option("--name", "names", multiple=True, metavar="HOST", help="Name or address that others use; repeatable.")
@click.option(
    "--certificate", type=_file, help="The company's certificate, its issuers after it; instead of an own CA."
)
@click.option("--key", type=_file, help="Private key of that certificate.")
@click.option("--port", type=click.IntRange(1, 65_535), help="Port by TLS.  [default: 8443]")
@click.option("--address", default="", metavar="IP", help="Address of this machine to listen on.  [default: every one]")
@click.option("--new-ca", "is_new_ca", is_flag=True, help="Make another CA, which other machines have to trust anew.")
@_as_json
@click.pass_obj
def enable(
    context: Context,
    names: tuple[str, ...],
    certificate: Path | None,
    key: Path | None,
    port: int | None,
    address: str,
    is_new_ca: bool,
    as_json: bool,
) -> None:
    """Put TLS in front of the gateway, with a certificate authority (CA) of its own or the company's certificate.

    Without --name, other machines are expected to use this machine's host name or its address.
    """
    from stackctl.cli.world.lan import build_lan_effects
    from stackctl.operations.run.lan import Wanted, show
    from stackctl.operations.run.lan import enable as do_enable

    if bool(certificate) != bool(key):
        raise click.UsageError("--certificate and --key go together.")
    if certificate and is_new_ca:
        raise click.UsageError("--certificate and --new-ca exclude each other.")
    wanted = Wanted(names, str(certificate or ""), str(key or ""), port, address, is_new_ca)
    with context.open() as effects:
        changed = do_enable(effects, build_lan_effects(), wanted)
        shown = show(effects)
    print_warnings((*changed.warnings, *(item for item in shown.findings if item not in changed.warnings)))
    if as_json:
        print_json(
            {"url": shown.url, "names": shown.names, "new_ca": bool(changed.authority), "running": changed.is_running}
        )
        return
    if changed.authority:
        print_note(f"made a certificate authority for {', '.join(shown.names)}: {changed.authority}")
    verb = "is reached" if changed.is_running else "will be reached"
    print_text(f"The gateway {verb} at {shown.url} (OpenAI: {shown.url}/v1).")
    if not changed.is_running:
        print_text("  stackctl up          starts it")
    print_text("  stackctl lan show    says how other machines learn to trust it, and how they connect")


@lan.command(short_help="Take it back.")
@_as_json
@click.pass_obj
def disable(context: Context, as_json: bool) -> None:
    """Take TLS away again: the gateway answers on loopback alone. Names and CA stay, for another time."""
    from stackctl.operations.run.lan import disable as do_disable

    with context.open() as effects:
        changed = do_disable(effects)
    print_warnings(changed.warnings)
    if as_json:
        print_json({"running": changed.is_running})
    else:
        print_text("Other machines do not reach the gateway any more.")


@lan.command(short_help="Show how other machines reach the gateway.")
@_as_json
@click.pass_obj
def show(context: Context, as_json: bool) -> None:
    """Show the address for other machines, where its CA's certificate is, and how systems and tools are told of it."""
    from stackctl.core.lan.trust import PROGRAMS, SYSTEMS
    from stackctl.operations.run.lan import show as do_show

    with context.open() as effects:
        shown = do_show(effects)
    print_warnings(shown.findings)
    if as_json:
        told = [asdict(item) for item in (*SYSTEMS, *PROGRAMS)] if shown.url and not shown.is_company else []
        print_json({**{name: value for name, value in asdict(shown).items() if name != "findings"}, "trust": told})
    elif not shown.url:
        print_text("Other machines do not reach the gateway: 'stackctl lan enable' puts TLS in front of it.")
    else:
        _print(shown)


def _print(shown: Shown) -> None:
    from stackctl.core.lan.trust import FILE, PROGRAMS, SYSTEMS

    first = shown.names[0] if shown.names else ""
    rows = [("URL", f"{shown.url}/v1  (OpenAI)   {shown.url}  (Anthropic)"), ("names", ", ".join(shown.names))]
    title = "certificate" if shown.is_company else "CA's certificate"
    rows += [(title, shown.certificate), ("SHA-256", shown.fingerprint), ("valid until", shown.end)]
    for name, value in rows:
        print_text(f"{name:16}  {value}")
    trusted = ""
    if not shown.is_company:
        trusted = f"SSL_CERT_FILE={FILE} "
        print_text("\nOn each other machine, fetch the CA's certificate, and compare its SHA-256:")
        print_text(f"  scp {first}:{shown.certificate} {FILE}")
        print_text(f"  openssl x509 -in {FILE} -noout -fingerprint -sha256")
        print_text("\nTell its system, with which most programs know it:")
        print_table(("system", "command"), [(item.who, item.how) for item in SYSTEMS])
        print_text("\nThese ask a place of their own:")
        print_table(("program", "how it is told"), [(item.who, item.how) for item in PROGRAMS])
    print_text("\nGive each person a key, here:")
    print_text("  stackctl keys create NAME")
    print_text("\nConnect a tool, there; it asks for the key, which ends with Enter and Ctrl-D:")
    print_piece(f"  {trusted}stackctl connect TOOL --url {shown.url} --key-file - --write\n")  # that machine's own
