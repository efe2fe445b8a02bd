"""A real model of 135 million parameters: held to the schema, even it answers with valid objects, in both languages."""

from __future__ import annotations

from pathlib import Path

import pytest
from agents_client.results import AnalysisAnswer, QuestionsAnswer, RequirementsAnswer

from tests.integration.agents.service import ANALYSIS, QUESTIONS, REQUIREMENTS, run_agents
from tests.integration.conftest import MakeSite
from tests.smollm2 import NAME, find_smollm2

PROBLEMS = {
    "en": "Our team writes a report of sales by hand every month. It takes two days and has mistakes.",
    "ko": "우리 팀의 월간 보고서 생성을 자동화하고 싶습니다.",
}
_PATIENCE_S = 600.0


# Thousands of tokens on two cores that are shared.
@pytest.mark.timeout(1200)
def test_a_small_model_gives_valid_objects(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site(MODELS_DIR=str(find_smollm2()), CHAT_MODEL=NAME, CONTEXT_LENGTH="8192", INFERENCE_SLOTS="1")
    site.run("up")
    with run_agents(tmp_path, site.url, site.keys["GATEWAY_KEY"]) as agents:
        agents.timeout_s = _PATIENCE_S
        asked = [agents.ask(ANALYSIS, {"problem": problem, "language": name}) for name, problem in PROBLEMS.items()]
        assert [answer.status_code for answer in asked] == [200, 200], [answer.text for answer in asked]
        analyses = [AnalysisAnswer.model_validate(answer.json()) for answer in asked]
        given = {"analysis": asked[0].json()["result"], "context": {"Who?": "Accounting"}, "language": "en"}
        questions = QuestionsAnswer.model_validate(agents.ask(QUESTIONS, given).json())
        requirements = RequirementsAnswer.model_validate(agents.ask(REQUIREMENTS, given).json())
        for call in (*[analysis.call for analysis in analyses], questions.call, requirements.call):
            assert (call.is_constrained, call.is_mended) == (True, False)
