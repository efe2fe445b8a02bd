"""The agents' /docs in a real browser: what it shows, what it loads, and a call that is made with it."""

from __future__ import annotations

import httpx

from tests.browser import open_alone
from tests.integration.agents.service import ANALYSIS, GOOD_ANALYSIS, QUESTIONS, REQUIREMENTS, Agents, Upstream
from tests.pictures import draw


def test_a_call_is_made_with_it_and_nothing_is_loaded_from_elsewhere(scripted: Agents, upstream: Upstream) -> None:
    upstream.answer(GOOD_ANALYSIS)
    with open_alone(scripted.url, "/docs") as page:
        page.get_by_text(ANALYSIS, exact=True).first.click()
        page.get_by_role("button", name="Execute").first.wait_for()
        assert page.locator(".errors-wrapper").count() == 0, page.locator(".errors-wrapper").inner_text()
        page.locator(".opblock-tag-section").first.scroll_into_view_if_needed()
        draw(page, "agents-docs")
        page.get_by_role("button", name="Execute").first.click()
        page.locator(".live-responses-table").get_by_text(GOOD_ANALYSIS["summary"]).first.wait_for()
    assert upstream.asked


def test_what_it_puts_in_is_a_request_that_is_served(scripted: Agents, upstream: Upstream) -> None:
    upstream.answer()
    schemas = scripted.get("/openapi.json").json()["components"]["schemas"]
    for path, name in {ANALYSIS: "Analysis", QUESTIONS: "Questions", REQUIREMENTS: "Requirements"}.items():
        (example,) = schemas[f"{name}Request"]["examples"]
        assert scripted.ask(path, example).status_code == 200, path


def test_it_is_shown_in_no_frame_and_has_its_own_files_alone(scripted: Agents) -> None:
    policies = scripted.get("/docs").headers.get_list("content-security-policy")
    assert len(policies) == 1
    assert {"default-src 'none'", "frame-ancestors 'none'", "script-src 'self'"} <= set(policies[0].split("; "))
    assert scripted.get("/openapi.json").headers["content-security-policy"].startswith("default-src 'none'")
    refused = httpx.get(f"{scripted.url}/docs/..%2f..%2fetc%2fpasswd")
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
