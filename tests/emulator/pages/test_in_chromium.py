"""The pages in a real browser: by keyboard alone, in the dark, on a phone, and live."""

import contextlib

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright, expect

from kelviq_async import Kelviq
from kelviq_async.emulator import serve

# One loop for all of them, as the browser takes longer to start than most of them need.
pytestmark = [pytest.mark.chromium, pytest.mark.asyncio(loop_scope="module")]

SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(chromium):
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=chromium, args=SWITCHES)
        yield running
        await running.close()


@pytest_asyncio.fixture(loop_scope="module")
async def kelviq(world):
    async with Kelviq.local(world) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def server(world):
    async with serve(world) as running:
        yield running
    assert world.crashes == []


@pytest_asyncio.fixture(loop_scope="module")
async def browse(server, browser):
    """Open a page at a path of the emulator; an error on its console fails the test."""
    said, contexts = [], []

    async def opened(path, **settings):
        contexts.append(await browser.new_context(**settings))  # nothing is kept from one page to the next
        page = await contexts[-1].new_page()
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        await page.goto(server.url + path)
        return page

    yield opened
    for context in contexts:
        await context.close()
    # The console tells of answers that are not 200, which is not the page's mistake.
    assert [text for text in said if not text.startswith("Failed to load resource")] == []


@pytest_asyncio.fixture(loop_scope="module")
async def checkout(server, visit):
    """A session that leads back to the dashboard, which is the only site at hand."""
    return await visit(success_url=f"{server.url}/?q=paid", cancel_url=f"{server.url}/?q=left")


async def tab_to(page, selector):
    """Press Tab until something has the focus, as somebody without a mouse does."""
    for _ in range(40):
        await page.keyboard.press("Tab")
        if await page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    pytest.fail(f"{selector} cannot be reached by keyboard")


async def test_paying_by_keyboard_alone(browse, checkout):
    path, row = checkout
    page = await browse(path)
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.textContent") == "Skip to the content"
    await tab_to(page, "input[name=card]")
    await page.keyboard.press("ArrowDown")
    await tab_to(page, "#pay")
    await page.keyboard.press("Enter")
    alert = page.get_by_role("alert")
    await expect(alert).to_contain_text("Your card was declined.")
    await expect(alert).to_be_focused()
    assert (await page.title()).startswith("Problem:")

    await tab_to(page, "input[name=card]")
    await page.keyboard.press("ArrowUp")
    await tab_to(page, "#pay")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/?q=paid")
    assert row.status == "success"


async def test_authentication_by_keyboard_alone(browse, checkout):
    path, row = checkout
    page = await browse(path)
    await tab_to(page, "input[name=card]")
    await page.keyboard.press("ArrowUp")
    await expect(page.get_by_label("Asks for authentication")).to_be_checked()
    await tab_to(page, "#pay")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Is it you?")).to_be_visible()
    await expect(page.get_by_role("button", name="Yes, pay $49.00")).to_be_focused()
    await page.reload()
    await tab_to(page, "#refuse")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("The payment was not confirmed.")
    assert row.status == "open"

    await page.get_by_label("Asks for authentication").check()
    await page.get_by_role("button", name="Pay $49.00").click()
    await page.get_by_role("button", name="Yes, pay $49.00").click()
    await page.wait_for_url("**/?q=paid")
    assert row.status == "success"


async def test_cancelling_leads_back_to_the_shop(browse, checkout):
    path, row = checkout
    page = await browse(path)
    await page.get_by_role("button", name="Cancel").click()
    await page.wait_for_url("**/?q=left")
    assert row.status == "closed"
    await page.goto(page.url.partition("/?")[0] + path)
    await expect(page.get_by_role("heading", name="You left this checkout")).to_be_visible()


async def test_choices_on_the_page(browse, checkout):
    path, row = checkout
    page = await browse(path)
    await page.get_by_label("Yearly").check()
    await page.get_by_label("Discount code").fill("launch")
    await page.keyboard.press("Enter")  # updates the order: the only button of that form
    await expect(page.locator("#due")).to_have_text("$392.00")
    await expect(page.get_by_role("button", name="Pay $392.00")).to_be_visible()
    assert row.status == "open"


async def test_each_field_has_its_label(browse, checkout):
    path, _ = checkout
    for address in (path, "/"):
        page = await browse(address)
        fields = page.locator("input:not([type=hidden]), select")
        for index in range(await fields.count()):
            field = fields.nth(index)
            labels = await field.evaluate("each => each.labels.length")
            assert labels, await field.evaluate("each => each.outerHTML")


COLOURS = """() => {
  const light = text => {
    const [r, g, b] = text.match(/[\\d.]+/g).map(Number).map(
      each => (each /= 255) <= .04045 ? each / 12.92 : ((each + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const behind = element => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor;
      if (!/, 0\\)$/.test(colour) && colour !== "transparent") return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const texts = [...document.querySelectorAll("main *")].filter(each =>
    each.checkVisibility() && [...each.childNodes].some(node => node.nodeType === 3 && node.data.trim()));
  return texts.map(each => {
    const [a, b] = [light(getComputedStyle(each).color), light(behind(each))].sort((x, y) => y - x);
    return [(a + .05) / (b + .05), each.outerHTML.slice(0, 80)];
  }).filter(([ratio]) => ratio < 4.5);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_everything_can_be_read_by_day_and_night(browse, checkout, look, world, scheme):
    path, _ = checkout
    world.webhooks.register("http://127.0.0.1:1/hook")
    world.emit("customer.created", {"customer_id": "user-123"})
    backgrounds = set()
    for address in (path, "/"):
        page = await browse(address, color_scheme=scheme)
        assert await page.evaluate(COLOURS) == []
        backgrounds.add(await page.evaluate("getComputedStyle(document.body).backgroundColor"))
        if address == path:
            await page.get_by_label("Is declined.").check()
            await page.click("#pay")
            await expect(page.get_by_role("alert")).to_be_visible()
            assert await page.evaluate(COLOURS) == []
    assert backgrounds == {"rgb(245, 245, 248)" if scheme == "light" else "rgb(16, 16, 23)"}


@pytest.mark.parametrize("width", [320, 1280])
async def test_nothing_sticks_out_on_narrow_screens(browse, checkout, world, width):
    path, _ = checkout
    world.emit("customer.created", {})
    for address in (path, "/", "/nope"):
        page = await browse(address, viewport={"width": width, "height": 700})
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        await page.close()


async def test_the_dashboard_follows_the_world(browse, checkout, look, world):
    path, _ = checkout
    page = await browse("/")
    await expect(page.locator("#orders + p")).to_have_text("None yet.")
    await page.locator("#amount").fill("7")  # what somebody is typing is left alone
    look(path, action="pay", card="4242424242424242")
    await expect(page.locator("section", has=page.locator("#orders"))).to_contain_text("$49.00")
    await expect(page.locator("#amount")).to_have_value("7")
    await page.click("#advance")
    await expect(page.locator("#now")).to_have_text("7 Feb 2026, 09:30")


async def test_the_dashboard_says_when_the_emulator_is_gone(browse, server):
    page = await browse("/")
    with contextlib.suppress(Exception):
        await server.stop()
    await expect(page.locator("#live")).to_have_class("lost")
    await page.close()
