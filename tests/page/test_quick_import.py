"""What is quick of the import of Gradio; in a program of its own, as it is imported once only."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from babe2.page.quick_import import import_gradio
opened = []
sys.addaudithook(lambda event, what: opened.append(str(what[0])) if event == "open" else None)
import_gradio()
import gradio
assert gradio is sys.modules["gradio"]
with gradio.Blocks():
    gradio.Textbox().change(len, None, None)
from gradio.templates import TextArea
import_gradio()
assert sys.modules["gradio"] is gradio
print(sum(path.endswith(".pyi") for path in opened), sum(path.endswith((".py", ".pyc")) for path in opened) > 100)
"""


@pytest.mark.process
def test_gradio_is_all_there_and_looks_at_no_file_for_editors() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=60, capture_output=True, text=True)
    assert done.stdout.split() == ["0", "True"]
