"""What axe-core, which looks at pages as people who cannot see or point meet them, complains of."""

from __future__ import annotations

from importlib.resources import files

import pytest
from playwright.sync_api import Page


def complaints_of_axe(page: Page) -> list[str]:
    """All that axe-core finds amiss in a page, serious or not."""
    package = pytest.importorskip("axe_playwright_python", reason="axe-core comes with axe-playwright-python")
    if not page.evaluate("'axe' in window"):
        page.evaluate((files(package) / "axe.min.js").read_text("utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [
        f"{each['id']}: {node['html'][:200]} {[check['message'] for check in node['any']]}"
        for each in found
        for node in each["nodes"]
    ]
