"""The models this gateway serves, read from LiteLLM's configuration text. Pure.

In: the text of the configuration. Out: the models by served name, and the answers of /v1/models. The gate lists them
and refuses other names by itself: no request for an unknown model reaches LiteLLM.

"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import yaml


@dataclass(frozen=True, slots=True)
class Model:
    """One served model.

    Attributes:
        mode: kind of requests the model answers: ``chat``, ``embedding`` or ``rerank``.
        context_length: tokens of prompt and answer together; None where the configuration does not say.
    """

    name: str
    mode: str
    context_length: int | None


Catalog = Mapping[str, Model]


def parse_catalog(config_text: str) -> Catalog:
    """The models by served name, in the configuration's order.

    Raises:
        ValueError: the text is no LiteLLM configuration.
    """
    try:
        entries = yaml.safe_load(config_text)["model_list"]
        models = [_build_model(entry) for entry in entries]
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise ValueError("expected a mapping with a model_list of named models") from error
    return {model.name: model for model in models}


def _build_model(entry: Mapping[str, Any]) -> Model:
    info = entry.get("model_info") or {}
    return Model(str(entry["model_name"]), str(info.get("mode", "chat")), info.get("max_input_tokens"))


def describe_model(model: Model, created: int) -> dict[str, Any]:
    """One entry of /v1/models, with the fields of OpenAI's and of Anthropic's form.

    Args:
        created: start of the gateway in seconds since 1970; model files have no such date that means anything.
    """
    entry: dict[str, Any] = {
        "id": model.name,
        "object": "model",
        "created": created,
        "owned_by": "stack",
        "type": "model",
        "display_name": model.name,
        "created_at": datetime.fromtimestamp(created, UTC).isoformat().replace("+00:00", "Z"),
        "mode": model.mode,
    }
    if model.context_length is not None:
        entry["context_length"] = model.context_length
    return entry


def describe_catalog(catalog: Catalog, created: int) -> dict[str, Any]:
    """The whole answer of /v1/models; ``created`` as in ``describe_model``."""
    names = list(catalog)
    return {
        "object": "list",
        "data": [describe_model(model, created) for model in catalog.values()],
        "has_more": False,
        "first_id": names[0] if names else None,
        "last_id": names[-1] if names else None,
    }
