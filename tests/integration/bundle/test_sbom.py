"""The bill of materials against the schema of CycloneDX itself, as its own library ships it."""

from __future__ import annotations

import os
import subprocess
import sys

from uv import find_uv_bin

from stackctl.adapters.process.pip_settings import find_installer_settings
from stackctl.core.bundle.pack.sbom import Component, render_sbom

# In an environment of its own: a validator with the formats of JSON Schema has many dependencies.
VALIDATOR = "cyclonedx-python-lib[json-validation]==11.12.0"
COMPONENTS = (
    Component("program", "stackctl", "0.1.0", "0" * 64, "Apache-2.0"),
    Component("image", "ghcr.io/ggml-org/llama.cpp:server", "", "1" * 64, "MIT", "ghcr.io/ggml-org/llama.cpp"),
    Component("image", f"127.0.0.1:5000/a/b@sha256:{'2' * 64}", "", "2" * 64),
    Component("model", "a model: größer, 0.5b", "", "3" * 64, "Llama 3 Community", "https://models.example/a%20b.gguf"),
    Component("model", "of nobody", "", "4" * 64, "", "a disk"),
    Component("wheel", "Ruamel.YAML", "1.0+local", "5" * 64, "MIT OR (Apache-2.0 AND ISC)", "pkg:pypi/ruamel-yaml"),
    Component("wheel", "click", "8.1.7", "", "", "requirements.lock"),
)
VALIDATE = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(sys.stdin.read())
sys.exit(str(error) if error else 0)
"""


def validate(text: str) -> subprocess.CompletedProcess[str]:
    run = [find_uv_bin(), "run", "--quiet", "--no-project", "--isolated", "--python", sys.executable]
    environment = {**os.environ, "VIRTUAL_ENV": "", **find_installer_settings("")}
    argv = [*run, "--with", VALIDATOR, "python", "-c", VALIDATE]
    return subprocess.run(argv, input=text, env=environment, capture_output=True, text=True, check=False)


def test_the_document_is_what_cyclonedx_says() -> None:
    text = render_sbom(COMPONENTS)
    done = validate(text)
    assert done.returncode == 0, done.stderr
    # The validator does find errors.
    assert validate(text.replace('"SHA-256"', '"SHA-999"')).returncode != 0
