"""Each sentence of the command line, each exit code and each of the gateway's codes is explained in Korean."""

from __future__ import annotations

import ast
import re

import pytest
from gateway.outcomes import OUTCOMES

from stackctl.core.health.probes import LAYER_ORDER, Status
from stackctl.errors import Severity
from tests.fakes import CHECKOUT
from tests.unit.korean.messages import find_templates, list_sentences, shorten
from tests.unit.korean.pages import read

PAGE = "docs/ko/messages.md"
ROW = re.compile(r"^\| `(.+?)` \| (.+) \|$", re.MULTILINE)
HANGUL = re.compile(r"[가-힣]")
CODE = re.compile(r"`([a-z]+(?:_[a-z]+)+)`")


def read_section(page: str, title: str) -> str:
    return read(page).split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def list_rows() -> list[tuple[str, str]]:
    """The rows that explain sentences: all but those about codes and states, which stand first."""
    return ROW.findall(read(PAGE).split("\n## 사이트와 파일\n", 1)[1])


def test_each_sentence_is_explained() -> None:
    sentences = list_sentences(CHECKOUT / "stackctl")
    explained = {sentence for sentence, _ in list_rows()}
    missing = [f"| `{sentence}` | {sentences[sentence]} |" for sentence in sorted(sentences.keys() - explained)]
    assert not missing, f"write a row in {PAGE} for each, with its meaning in Korean for the file:\n" + "\n".join(
        missing
    )


def test_no_sentence_is_explained_that_is_not_said() -> None:
    sentences = list_sentences(CHECKOUT / "stackctl")
    gone = [sentence for sentence, _ in list_rows() if sentence not in sentences]
    assert not gone, f"take the rows of sentences that are said no more out of {PAGE}: {gone}"


def test_each_is_explained_once_and_in_korean() -> None:
    rows = list_rows()
    assert len(rows) == len(dict(rows))
    assert [sentence for sentence, meaning in rows if not HANGUL.search(meaning)] == []


def test_each_exit_code_is_explained() -> None:
    codes = re.findall(r"^\| (\d+) \|", read("docs/reference/cli.md"), re.MULTILINE)
    assert codes
    assert re.findall(r"^\| (\d+) \|", read_section(PAGE, "종료 코드"), re.MULTILINE) == codes


def test_each_state_is_explained() -> None:
    words = [word for word, _ in ROW.findall(read_section(PAGE, "상태를 나타내는 말"))]
    assert set(words) == {*Status, *Severity}


def test_each_layer_of_health_is_explained_in_order() -> None:
    layers = [layer for layer, _ in ROW.findall(read_section(PAGE, "`health`가 묻는 층"))]
    assert layers == list(LAYER_ORDER)


def list_gateway_codes() -> set[str]:
    """Codes that clients are told: of outcomes, and those that the gate names where it answers by itself."""
    codes = {outcome.code for outcome in OUTCOMES}
    for path in (CHECKOUT / "services/api-gateway/gateway").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "ApiError":
                given = [*node.args[1:2], *(word.value for word in node.keywords if word.arg == "code")]
                codes |= {str(value.value) for value in given if isinstance(value, ast.Constant)}
    return codes


def list_explained(section: str) -> set[str]:
    return set(CODE.findall("\n".join(line.split(" | ")[0] for line in section.splitlines())))


def test_each_code_of_the_gateway_is_explained_and_no_other() -> None:
    explained = list_explained(read_section(PAGE, "게이트웨이의 오류 코드"))
    shown = list_explained(read_section("docs/ko/troubleshooting.md", "도구가 보여 주는 말"))
    source = "".join(path.read_text("utf-8") for path in (CHECKOUT / "services/api-gateway/gateway").rglob("*.py"))
    assert sorted((list_gateway_codes() | shown) - explained) == []
    assert [code for code in sorted(explained) if f'"{code}"' not in source] == []


@pytest.mark.parametrize(
    ("code", "seen"),
    [
        ('raise ConfigError(f"{path} is not valid YAML.", hint)', ["is not valid YAML"]),
        ('RuntimeFailure(f"{a}: {b}.")', [""]),
        ('Finding("x", "is a" if late else f"is {b}, not c", message_hint)', ["is a", "is …, not c"]),
        ('def f():\n    message = f"port {n} is " + word\n    Finding(s, message)', ["port … is"]),
        ('BundleError(message=f"The disk of {d} is full:\\n{e}")', ["The disk of … is full"]),
        ('print("nothing of ours")', []),
    ],
)
def test_sentences_are_read_from_code(code: str, seen: list[str]) -> None:
    assert [shorten(template) for _, template in find_templates(ast.parse(code))] == seen
