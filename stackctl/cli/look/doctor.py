"""``stackctl doctor``: findings with a fix each; exit 0 when nothing stands in the way, 6 otherwise."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from stackctl.cli.console import print_json, print_table, print_text
from stackctl.cli.context import Context
from stackctl.errors import UnhealthyError


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option(
    "--set-context", is_flag=True, help="Write the largest context that fits to .env, if the set one does not."
)
@click.pass_obj
def doctor(context: Context, as_json: bool, set_context: bool) -> None:
    """Check this machine and this site before anything is pulled, built or started."""
    from stackctl.core.health.doctor import has_errors
    from stackctl.operations.look.doctor import run_doctor, set_fitting_context

    with context.open() if set_context else context.open_anywhere() as effects:
        changed = set_fitting_context(effects) if set_context else {}
        findings = (*context.check_site(), *run_doctor(effects))
    failed = has_errors(findings)
    if as_json:
        print_json({"ok": not failed, "changed": changed, "findings": [asdict(finding) for finding in findings]})
    else:
        for name, value in changed.items():
            print_text(f"set {name}={value} in .env\n")
        rows = [(str(f.severity), f.subject, ": ".join(filter(None, (f.render_place(), f.message)))) for f in findings]
        print_table(("", "subject", "finding"), rows)
        for finding in findings:
            if finding.hint:
                print_text(f"{'fix ' if finding.severity == 'error' else 'note'}  {finding.subject}: {finding.hint}")
    sys.exit(UnhealthyError.exit_code if failed else 0)
