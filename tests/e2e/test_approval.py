"""Calls that wait for the user's approval, on the chat page in Chromium over the real service."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Locator, expect

from tests.e2e.conftest import OpenTab, Tab
from tests.server.service import serving, turnwire_over
from turnwire_server import tool
from turnwire_simulator import Answer, Simulator, Text, ToolUse

pytestmark = pytest.mark.asyncio(loop_scope="session")

SENT: list[dict[str, str]] = []


@tool(approval=True)
def send_email(to: str, subject: str) -> str:
    """Send an e-mail.

    Args:
        to: Whom.
        subject: About what.
    """
    SENT.append({"to": to, "subject": subject})
    return f"sent to {to}"


def asking(to: str = "ada@example.com") -> Answer:
    """The model wants to send an e-mail."""
    call = ToolUse("send_email", {"to": to, "subject": "Logs"})
    return Answer(Text("Let me write."), call, stop_reason="tool_use")


@pytest_asyncio.fixture(loop_scope="session")
async def mail(simulator: Simulator) -> AsyncIterator[str]:
    """The address of a service that can send e-mail."""
    SENT.clear()
    async with serving(turnwire_over(simulator, tools=[send_email])) as netloc:
        yield f"http://{netloc}/"


@pytest_asyncio.fixture(loop_scope="session")
async def tab(mail: str, open_tab: OpenTab) -> AsyncIterator[Tab]:
    """A tab in which the model asks."""
    tab = await open_tab(mail)
    yield tab
    # Before the service goes: a page that loses it would say so on its console.
    for page in tab.page.context.pages:
        await page.close()


def card(tab: Tab) -> Locator:
    return tab.page.get_by_role("group", name="Allow send_email?")


def verdict(tab: Tab) -> Locator:
    return tab.page.locator(".tool-verdict")


def shown(simulator: Simulator) -> dict[str, Any]:
    """The result in the last request, as the model was shown it."""
    (block,) = simulator.requests[-1]["messages"][-1]["content"]
    return {name: block[name] for name in ("content", "is_error") if name in block}


async def test_a_call_is_shown_and_runs_once_it_is_allowed(tab: Tab, simulator: Simulator) -> None:
    simulator.program(asking(), Answer(Text("It is sent.")))
    await tab.ask("Write to Ada")
    await expect(card(tab)).to_contain_text("ada@example.com")
    await expect(card(tab).locator(".card-time")).to_contain_text("left")
    await expect(tab.announced).to_have_text("Claude asks to use send_email")
    await expect(tab.page).to_have_title("● Write to Ada – Turnwire")
    assert SENT == []
    await card(tab).get_by_role("button", name="Allow").press("Enter")
    await expect(tab.answers.last).to_have_text("It is sent.")
    await expect(verdict(tab)).to_have_text("Allowed")
    await expect(card(tab)).to_have_count(0)
    await expect(tab.page).to_have_title("Write to Ada – Turnwire")
    assert SENT == [{"to": "ada@example.com", "subject": "Logs"}]
