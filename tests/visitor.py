"""What a visitor does on the page, in a real browser, and what he finds there."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from house import PATIENCE, House
from playwright.sync_api import Page, TimeoutError, expect

DONE = re.compile("Done:")
SIZES = {"desktop": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 844}}

Opened = Callable[..., AbstractContextManager[Page]]


LISTENS = """() => {
  const files = new DataTransfer();
  files.items.add(new File([], "a"));
  const over = new DragEvent("dragover", { dataTransfer: files, bubbles: true, cancelable: true });
  return !document.body.dispatchEvent(over);
}"""


def visit(page: Page, house: House) -> None:
    """Opens the page, ready to be used."""
    page.goto(house.address)
    for part in ("#desk .desk", "#refusal"):
        expect(page.locator(part)).to_be_attached(timeout=PATIENCE)
    page.wait_for_function(LISTENS, timeout=PATIENCE)


def upload(page: Page, house: House, path: Path) -> None:
    """Opens the page and gives it a recording."""
    visit(page, house)
    page.set_input_files("#recording input[type=file]", path)
    expect(page.locator("#notice")).to_contain_text("LUFS", timeout=PATIENCE)
    expect(page.locator("#restore")).to_be_enabled(timeout=PATIENCE)
    expect(page.locator("#desk [data-name=recording]")).to_be_visible(timeout=PATIENCE)


def set_to(page: Page, **settings: Any) -> None:
    """Fills in settings under More."""
    if not page.locator("#set-steps").is_visible():
        page.get_by_text("More", exact=True).click()
        page.get_by_text("How it is sampled").click()
    for name, value in settings.items():
        if not page.locator(f"#set-{name}").is_visible():
            page.get_by_text("Long recordings").click()
        page.locator(f"#set-{name}").get_by_role("textbox").fill(str(value))


def begin(page: Page, until: str | re.Pattern[str] = "step") -> None:
    """Presses Restore and waits until the bar says something."""
    page.click("#restore")
    expect(page.locator("#status")).to_contain_text(until, timeout=PATIENCE)


def titles(page: Page) -> list[str]:
    return page.locator("#desk [data-desk=tracks] [data-name]").evaluate_all(
        "tracks => tracks.map((each) => each.dataset.name)"
    )


def ask(page: Page, what: str) -> Any:
    """What the desk says of itself."""
    return page.locator("#desk .desk").evaluate(f"(section) => section.parentElement.desk.{what}")


def taken(page: Page, button: str) -> Path:
    """The file behind a button."""
    for tries in range(20):
        expect(page.locator(f"#{button}")).to_be_enabled(timeout=PATIENCE)
        try:
            with page.expect_download(timeout=3000) as download:
                page.click(f"#{button}")
            break
        except TimeoutError:  # a newer file has just taken its place
            assert tries < 19
    path = Path(download.value.path())
    return path.rename(path.with_name(f"{path.stem[:8]} {download.value.suggested_filename}"))


def taken_when(page: Page, is_right: Callable[[Path], bool]) -> Path:
    """The restored file, once it is as it was wished for."""
    for _ in range(100):
        if is_right(path := taken(page, "file")):
            return path
    pytest.fail("The file never became what was wished for.")


def share_of(restored: np.ndarray, recorded: np.ndarray, file: Path) -> float:
    """How much of the restoration is in a file, by least squares."""
    sound, _ = soundfile.read(file)
    change = restored - recorded
    return float(((sound - recorded) * change).sum() / (change**2).sum())


def in_view(page: Page, selector: str) -> bool:
    """Whether all of an element lies within what is seen of the page, not covered by anything."""
    return page.evaluate(
        """(selector) => {
          const element = document.querySelector(selector), box = element.getBoundingClientRect();
          const [x, y] = [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
          const top = document.elementFromPoint(x, y);
          return box.height > 0 && box.top >= 0 && box.bottom <= innerHeight && element.contains(top);
        }""",
        selector,
    )
