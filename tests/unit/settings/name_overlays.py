"""Names of other tools in `.env` as examples, and what they turn a `stack.yml` into."""

from __future__ import annotations

from stackctl.core.gateway.routes import list_targets as find_targets
from stackctl.core.settings.dotenv import parse_dotenv
from stackctl.core.settings.names.overlay import Overlay, build_overlay
from stackctl.core.settings.names.values import read_names
from stackctl.core.settings.stackfile_reader import parse_stackfile
from stackctl.errors import Finding, Severity

INTERNAL = """\
INTERNAL_LLM_BASE_URL=https://internal-llm-api.company.com
INTERNAL_LLM_API_KEY=planted-key
INTERNAL_LLM_MODEL=gpt-4
INTERNAL_LLM_TICKET=planted-ticket
USER_ID=your_user_id
USER_TYPE=AD
"""

OLLAMA = "OLLAMA_BASE_URL=http://localhost:11434\nOLLAMA_MODEL=llama3.1\n"

PRODUCTION = f"ENVIRONMENT=production\n{INTERNAL}"

DEVELOPMENT = f"ENVIRONMENT=development\n{OLLAMA}"


def overlay(text: str, stack: str = "") -> Overlay:
    return build_overlay(read_names([parse_dotenv(text)]), parse_stackfile(stack))


def list_errors(text: str, stack: str = "") -> list[Finding]:
    return [finding for finding in overlay(text, stack).findings if finding.severity is Severity.ERROR]


def list_targets(made: Overlay, name: str = "local-chat") -> list[tuple[str, str]]:
    """Provider and its own name of the model, of all that is tried for a served name."""
    served = {
        served_name: (provider, model.model)
        for provider, item in made.stackfile.providers.items()
        for served_name, model in item.models.items()
    }
    return [served.get(target, ("engine", target)) for target in find_targets(made.stackfile.routes, name)]
