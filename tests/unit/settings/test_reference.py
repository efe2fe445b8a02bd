"""Documents made from the settings' one home: complete, usable, and without a secret's value."""

from __future__ import annotations

from stackctl.core.settings.dotenv import parse_dotenv
from stackctl.core.settings.reference import render_env_example, render_reference
from stackctl.core.settings.settings import Settings, setting_names
from stackctl.core.settings.sources import resolve_settings


def test_the_example_is_a_usable_file_with_every_setting_at_its_default() -> None:
    text = render_env_example()
    assert resolve_settings(parse_dotenv(text), {}, {}).values == Settings()
    active = "\n".join(
        line.removeprefix("#") if "=" in line and line[1:2].isupper() else line for line in text.splitlines()
    )
    file = parse_dotenv(active)
    assert tuple(file.values) == setting_names()
    assert resolve_settings(file, {}, {}).values == Settings()


def test_only_the_keys_that_init_makes_are_not_comments() -> None:
    assert parse_dotenv(render_env_example()).values == {
        "GATEWAY_ADMIN_KEY": "",
        "GATEWAY_KEY": "",
        "INFERENCE_API_KEY": "",
    }


def test_the_reference_has_a_row_of_four_cells_for_every_setting() -> None:
    rows = [line for line in render_reference().splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == list(setting_names())
    assert {row.replace("\\|", "").count("|") for row in rows} == {5}
