"""The pages of a receipt in a real browser, 360 pixels wide: two taps, no sideways scroll, nothing axe-core finds."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import uvicorn

from chassis.http.server import Server
from contracts.codes import Role
from services.consent.api.receipts.texts import TEXTS
from tests.browser.devtools import Page, browser, phone
from tests.browser.packages import Packages, provide
from tests.conftest import Say
from tests.consent.conftest import PUBLIC_URL, Consenting, token
from tests.consent.test_receipt_page import expired
from tests.consent.test_receipts import CODE, two_grants

pytestmark = [pytest.mark.prove, pytest.mark.timeout(600)]

WIDTH = 360
TARGET_PIXELS_MIN = 44
DE = TEXTS["de"]
RECIPIENT = "Jugendamt Landkreis Musterland"
SMALL = f"""[...document.querySelectorAll("a, button, summary, input:not([type=hidden])")]
    .map(each => [each.textContent || each.name, each.getBoundingClientRect()])
    .filter(([, at]) => at.height < {TARGET_PIXELS_MIN} || at.width < {TARGET_PIXELS_MIN})
    .map(([name, at]) => `${{name}} ${{at.width}} × ${{at.height}}`)"""


@pytest.fixture(scope="session")
def packages() -> Packages:
    return provide()


@pytest.fixture
async def site(consenting: Consenting) -> AsyncIterator[str]:
    """The service, listening."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(uvicorn.Config(consenting.app, lifespan="off", log_config=None, access_log=False), listener)
    serving = asyncio.create_task(server.serve())
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    await serving


@pytest.fixture
async def page(packages: Packages, tmp_path: Path) -> AsyncIterator[Page]:
    async with browser(packages, tmp_path / "profile") as connection:
        yield await phone(connection, WIDTH)


async def a_consent(consenting: Consenting) -> tuple[UUID, str, str]:
    """Somebody has allowed two things, something has left; the consent, and the code that was printed."""
    person = await consenting.a_person()
    consent = await two_grants(consenting, person)
    handover = await consenting.proposed(person, [consenting.neighbours.put(category="school")])
    assert (await consenting.fetch(handover)).status_code == 200
    answer = await consenting.client.get(f"/consents/{consent}/receipt.html", headers=token(Role.CASEWORKER))
    found = CODE.search(answer.text)
    assert found is not None
    return person, consent, found[1]


async def is_fit_for_everybody(page: Page, packages: Packages) -> None:
    """As wide as the phone, large enough to be tapped, without a script, and nothing that axe-core minds."""
    assert await page.find("document.documentElement.scrollWidth") <= WIDTH
    assert await page.find(SMALL) == []
    assert await page.find("document.scripts.length") == 0
    assert await violations(page, packages) == []


async def violations(page: Page, packages: Packages) -> Any:
    """What axe-core finds, by all its rules."""
    await page.find(packages.script("axe-core", "axe.min.js") + "; 0")
    return await page.find("""axe.run(document, {resultTypes: ["violations"]}).then(
        found => found.violations.map(each => each.id + ": " + each.nodes.map(node => node.target).join(", ")))""")


async def headings(page: Page) -> str:
    return str(await page.find("document.body.innerText"))


async def opened(page: Page, site: str, code: str) -> None:
    """The code is typed in, the page behind it is there."""
    await page.goto(f"{site}/receipts")
    await page.find("document.querySelector('input[name=code]').focus()")
    await page.type(code)
    await page.tap(DE.show)


async def test_a_young_person_takes_everything_back_in_two_taps(
    consenting: Consenting, site: str, page: Page, packages: Packages, say: Say
) -> None:
    _, consent, code = await a_consent(consenting)
    await page.goto(f"{site}/receipts")
    await is_fit_for_everybody(page, packages)
    await opened(page, site, code.lower())
    assert RECIPIENT in await headings(page)
    await is_fit_for_everybody(page, packages)
    taps = 0
    for text, there in ((DE.take_back_all, DE.sure), (DE.yes, DE.nothing_stands)):
        await page.tap(text)
        taps += 1
        assert there in await headings(page)
        await is_fit_for_everybody(page, packages)
    assert (await consenting.get(f"/consents/{consent}"))["state"] == "withdrawn"
    assert f"{RECIPIENT} muss bis" in await headings(page)
    assert {address.startswith(site) for address in page.asked_for if address != "about:blank"} == {True}
    assert not [address for address in page.asked_for if code.replace("-", "") in address.replace("-", "").upper()]
    assert (await page.say("Network.getCookies"))["cookies"] == []
    say(f"withdrawn on a phone of {WIDTH} pixels in {taps} taps; no sideways scrolling, no violation by axe-core")


async def test_one_of_two_is_taken_back_in_two_taps(consenting: Consenting, site: str, page: Page) -> None:
    _, consent, code = await a_consent(consenting)
    await opened(page, site, code)
    await page.tap(f"Zurücknehmen: {RECIPIENT}, Stabilisierung")
    await page.tap(DE.yes)
    grants = (await consenting.get(f"/consents/{consent}"))["grants"]
    assert {each["purpose"]: each["withdrawn_at"] is not None for each in grants} == {
        "stabilisation": True, "youth_welfare_support": False,
    }


async def test_what_is_over_is_taken_back_in_two_taps_as_well(
    consenting: Consenting, site: str, page: Page, packages: Packages
) -> None:
    person, consent, code = await a_consent(consenting)
    await expired(consenting, person, consent)
    await consenting.rows("UPDATE ledger SET category = NULL, hash = NULL, bases = '[]'")
    await opened(page, site, code)
    assert DE.still_there in await headings(page)
    assert DE.perhaps in await headings(page)
    await is_fit_for_everybody(page, packages)
    for text, there in ((DE.take_back_all, DE.sure_over), (DE.yes, DE.done_over)):
        await page.tap(text)
        assert there in await headings(page)
        await is_fit_for_everybody(page, packages)
    assert len((await consenting.get("/duties"))["duties"]) == 1


async def test_it_can_all_be_done_with_the_keyboard(consenting: Consenting, site: str, page: Page) -> None:
    _, consent, code = await a_consent(consenting)
    await page.goto(f"{site}/receipts")
    focused = "document.activeElement.name || document.activeElement.innerText"
    await page.press("Tab")
    assert await page.find(focused) == "code"
    await page.type(code)
    await page.press("Enter", leads_on=True)
    for text in (DE.take_back_all, DE.yes):
        await page.press("Tab")
        assert await page.find(focused) == text
        assert await page.find("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        await page.press("Enter", leads_on=True)
    assert (await consenting.get(f"/consents/{consent}"))["state"] == "withdrawn"


async def test_a_no_is_a_page_too_in_which_one_can_try_again(
    consenting: Consenting, site: str, page: Page, packages: Packages
) -> None:
    _, _, code = await a_consent(consenting)
    await opened(page, site, "ZZZZ-ZZZZ-ZZZZ")
    assert DE.unknown_code in await headings(page)
    await is_fit_for_everybody(page, packages)
    await page.find("document.querySelector('input[name=code]').focus()")
    await page.type(code)
    await page.tap(DE.show)
    assert RECIPIENT in await headings(page)


async def test_the_printed_receipt_fits_on_two_pages_and_its_picture_is_read_as_the_address(
    consenting: Consenting, page: Page, packages: Packages, say: Say
) -> None:
    _, consent, code = await a_consent(consenting)
    answer = await consenting.client.get(f"/consents/{consent}/receipt.html", headers=token(Role.CASEWORKER))
    tree = await page.say("Page.getFrameTree")
    await page.say("Page.setDocumentContent", frameId=tree["frameTree"]["frame"]["id"], html=answer.text)
    assert await page.find("document.documentElement.scrollWidth") <= WIDTH
    assert await violations(page, packages) == []
    assert code in await headings(page)
    assert await read_picture(page, packages) == f"{PUBLIC_URL}/receipts"
    pdf = base64.b64decode((await page.say("Page.printToPDF", preferCSSPageSize=True))["data"])
    pages = pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page/") + pdf.count(b"/Type/Page/")
    assert 1 <= pages <= 2
    say(f"the printed receipt needs {pages} of 2 pages; its picture is read as its address")


async def read_picture(page: Page, packages: Packages) -> Any:
    """What a reader of QR codes (jsQR, which is not ours) makes of the picture as it is painted."""
    box = await page.find("""(() => { const one = document.querySelector("svg"); one.scrollIntoView();
        const at = one.getBoundingClientRect(); return {x: at.x + scrollX, y: at.y + scrollY, width: at.width,
        height: at.height, scale: 2}; })()""")
    shot = (await page.say("Page.captureScreenshot", clip=box, captureBeyondViewport=True))["data"]
    await page.goto("about:blank")
    await page.find(packages.script("jsqr", "dist", "jsQR.js") + "; 0")
    return await page.find(f"""(async () => {{
        const bytes = Uint8Array.from(atob({json.dumps(shot)}), each => each.charCodeAt(0));
        const picture = await createImageBitmap(new Blob([bytes], {{type: "image/png"}}));
        const canvas = new OffscreenCanvas(picture.width, picture.height);
        const context = canvas.getContext("2d");
        context.drawImage(picture, 0, 0);
        const {{data, width, height}} = context.getImageData(0, 0, picture.width, picture.height);
        const found = jsQR(data, width, height);
        return found && found.data;
    }})()""")


@pytest.mark.parametrize(
    "spoil",
    [
        "document.querySelector('label').remove()",
        "document.documentElement.removeAttribute('lang')",
        "document.querySelector('button').style.cssText = 'color:#777;background:#888'",
    ],
)
async def test_axe_core_would_say_so(site: str, page: Page, packages: Packages, spoil: str) -> None:
    await page.goto(f"{site}/receipts")
    assert await violations(page, packages) == []
    await page.find(spoil + "; 0")
    assert await violations(page, packages) != []


async def test_something_too_wide_or_too_small_would_be_seen(site: str, page: Page) -> None:
    await page.goto(f"{site}/receipts")
    await page.find("document.querySelector('button').style.cssText = 'min-height:0;padding:0;height:20px'; 0")
    assert await page.find(SMALL) != []
    await page.find("document.querySelector('button').style.cssText = 'width:500px'; 0")
    assert await page.find("document.documentElement.scrollWidth") > WIDTH
