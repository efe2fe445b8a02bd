"""What content logging hides: nothing of a secret is left, and text without one stays as it is."""

from __future__ import annotations

import json

import pytest
from gateway.observe.masks import Masks
from gateway.observe.numbers import has_check_digit, is_luhn
from hypothesis import given
from hypothesis import strategies as st

MASKS = Masks()
KEY_BLOCK = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1r\nZXktdjEAAAAA\n-----END OPENSSH PRIVATE KEY-----"
HIDDEN = {
    "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789": "[key]",
    "sk-ant-api03-Zz_9-AbCdEfGhIjKl": "[key]",
    "sk-abcde23457-kJ8_hgf-Ghjk": "[key]",
    "Authorization: Bearer abcdefgh12345678": "Authorization: Bearer [key]",
    "bearer ya29.a0AfH6SMBx": "bearer [key]",
    "Authorization: Basic dXNlcjpwYXNz": "Authorization: Basic [key]",
    '"x-api-key": "0123456789abcdef"': '"x-api-key": "[key]"',
    "AKIAIOSFODNN7EXAMPLE": "[key]",
    "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY": "aws_secret_access_key = [key]",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789": "[key]",
    "github_pat_11ABCDEFG0abcdefghijklmnop": "[key]",
    "hf_abcdefghijklmnopqrstuvwxyzABCDEFGH": "[key]",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P": "[key]",
    KEY_BLOCK: "[private key]",
    KEY_BLOCK[:60]: "[private key]",
    "kim.minsu@example.co.kr": "[e-mail]",
    "o'brien+tag@mail.example.com": "[e-mail]",
    "010-1234-5678": "[phone]",
    "01012345678": "[phone]",
    "02-312-4567": "[phone]",
    "(031) 123-4567": "[phone]",
    "070.1234.5678": "[phone]",
    "+82-10-1234-5678": "[phone]",
    "+82 (0)10 1234 5678": "[phone]",
    "+1 (415) 555-2671": "[phone]",
    "+442071838750": "[phone]",
    "415-555-2671": "[phone]",
    "\uff10\uff11\uff10\uff0d\uff11\uff12\uff13\uff14\uff0d\uff15\uff16\uff17\uff18": "[phone]",
    "900101-1234568": "[resident number]",
    "900101 - 1234567": "[resident number]",
    "9001011234568": "[resident number]",
    "4111 1111 1111 1111": "[card]",
    "4111-1111-1111-1111": "[card]",
    "5500005555555559": "[card]",
    "378282246310005": "[card]",
    "3782 822463 10005": "[card]",
    "6222020000000000000": "[card]",
}
UNCHANGED = (
    "", "hello", "2026-11-28T14:20:49.123+09:00", "1732800049123", "1732800049123456", "192.168.10.20", "v1.2.3-4",
    "def add(a, b):\n    return a + b  # 3.14159265358979", "sk-learn-compatible-classes", "a task-list-of-things",
    "the bearer of bad news", "user@host", "@decorator", "1234567890123456", "4111 1111 1111 1112",
    "9001011234567", "901301-1234567x12"[:6], "0x1234567890abcdef", "c9a646d3-9c61-4cb7-bfcd-ee2522c8f633",
    "SELECT * FROM t WHERE a = 12 AND b = 345678", "12 34 56 78 90 12 34 56", "3.01012345678", "+12", "\u20a912,000",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----", "\uac00\ub098\ub2e4 010", "100-200",
)  # fmt: skip


@pytest.mark.parametrize(("secret", "expected"), HIDDEN.items())
@pytest.mark.parametrize("around", ["{}", "of {} now.", "({}),", "\ubc88\ud638\ub294 {}\uc785\ub2c8\ub2e4", "x\n{}\ny"])
def test_a_secret_is_hidden_wherever_it_stands(secret: str, expected: str, around: str) -> None:
    if expected == "[private key]" and "END" not in secret:
        assert MASKS.hide(around.format(secret)).endswith(expected)
    else:
        assert MASKS.hide(around.format(secret)) == around.format(expected)


@pytest.mark.parametrize("text", UNCHANGED)
def test_a_text_without_a_secret_stays_as_it_is(text: str) -> None:
    assert MASKS.hide(text) == text


WORDS = st.text(alphabet="abcdefgh \n.,;:()\"'\uac00\ub098", max_size=30)
SAFE = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
DIGIT = st.sampled_from("0123456789")


@st.composite
def digits(draw: st.DrawFn, count: int) -> str:
    return "".join(draw(st.lists(DIGIT, min_size=count, max_size=count)))


@st.composite
def keys(draw: st.DrawFn) -> str:
    start = draw(st.sampled_from(["sk-", "sk-proj-", "sk-ant-api03-", "github_pat_11A", "Bearer "]))
    return start + "Q" + draw(st.text(SAFE if not start.startswith("git") else "abcXYZ019", min_size=20, max_size=60))


@st.composite
def mails(draw: st.DrawFn) -> str:
    word = st.text("abcdefxyz0189", min_size=1, max_size=12)
    return f"{draw(word)}.{draw(word)}@{draw(word)}.{draw(st.sampled_from(['com', 'co.kr', 'example.org', 'dev']))}"


@st.composite
def phones(draw: st.DrawFn) -> str:
    gap = draw(st.sampled_from(["-", " ", ".", "\u2013"]))
    start = draw(st.sampled_from(["010", "011", "02", "031", "070", "+82" + gap + "10", "+82" + gap + "2"]))
    return f"{start}{gap}{draw(digits(4))}{gap}{draw(digits(4))}"


@st.composite
def resident_numbers(draw: st.DrawFn) -> str:
    front = f"{draw(digits(2))}{draw(st.integers(1, 12)):02}{draw(st.integers(1, 31)):02}"
    back = draw(st.sampled_from("12345678")) + draw(digits(5))
    last = next(digit for digit in "0123456789" if has_check_digit(front + back + digit))
    return front + draw(st.sampled_from(["", "-", " - ", " "])) + back + last


@st.composite
def cards(draw: st.DrawFn) -> str:
    front = draw(st.sampled_from("23456789")) + draw(digits(14))
    number = next(front + last for last in "0123456789" if is_luhn([int(digit) for digit in front + last]))
    gap = draw(st.sampled_from(["", " ", "-", "\u00a0"]))
    return gap.join(number[start : start + 4] for start in range(0, 16, 4))


SECRETS = st.one_of(keys(), mails(), phones(), resident_numbers(), cards())


@given(st.lists(st.tuples(WORDS, SECRETS), min_size=1, max_size=4), WORDS)
def test_nothing_of_any_secret_is_left_among_other_words(parts: list[tuple[str, str]], end: str) -> None:
    text = "".join(f"{words} {secret} " for words, secret in parts) + end
    hidden = MASKS.hide(text)
    for _, secret in parts:
        assert secret.removeprefix("Bearer ") not in hidden
        run = max((part for part in secret.replace("\u2013", "-").replace("\u00a0", " ").split() if part), key=len)
        assert len(run) < 8 or run not in hidden


@given(st.text(alphabet="abcdefghij \n.,;:()[]{}<>=*/_\"'\uac00\ub098\ub2e4", max_size=200))
def test_words_without_digits_and_at_signs_stay(text: str) -> None:
    assert MASKS.hide(text) == text


PLAIN = st.none() | st.booleans() | st.integers(0, 9999) | st.sampled_from(["hi", "\uac00"])


@given(st.recursive(PLAIN, lambda item: st.lists(item, max_size=3) | st.dictionaries(st.sampled_from("abc"), item)))
def test_a_value_without_a_secret_stays(value: object) -> None:
    assert MASKS.hide_in(value) == value


def test_every_place_of_a_value_is_looked_at() -> None:
    value = {"a@b.co": [{"text": "010-1234-5678"}, 4111111111111111, True, None, 7], "n": {"m": "sk-Abcdefghijklmnop"}}
    assert MASKS.hide_in(value) == {"[e-mail]": [{"text": "[phone]"}, "[card]", True, None, 7], "n": {"m": "[key]"}}


def test_what_a_string_of_json_escapes_is_looked_at() -> None:
    arguments = '{"to": "kim\\u0040example.com", "n": 1}'
    assert json.loads(MASKS.hide_in({"arguments": arguments})["arguments"]) == {"to": "[e-mail]", "n": 1}
    plain = '{"text": "a\\nb"}'
    assert MASKS.hide_in(plain) == plain


def test_an_operators_own_patterns_and_the_gateways_own_keys() -> None:
    masks = Masks({"employee": r"EMP-\d{6}"}, ["a plain password", "short"])
    assert masks.hide("EMP-123456 has a plain password, short") == "[employee] has [key], short"
    overlapping = Masks({"all": r"to .*"})
    assert overlapping.hide("mail to a@b.com now") == "mail [all]"


@pytest.mark.parametrize(
    "piece",
    ["a", "a.", "a@", "!", "1", "1 ", "1-", "+1", "0", "sk-", "sk-a", "a@b.", "eyJ", "eyJaaaaaaaa.",
     "-----BEGIN PRIVATE KEY-----", "aws", "aws secret ",
     "bearer ", "Authorization: a ", "(", "010-", "900101-", "'", "%", "api_key=", "A", "\uac00"],
)  # fmt: skip
def test_a_long_run_of_one_piece_ends(piece: str) -> None:
    """A pattern that tries everything again from every place would take minutes to hours for one of these."""
    assert isinstance(MASKS.hide(piece * (200_000 // len(piece))), str)
