"""HTML that is made of data: whatever is no markup yet is escaped, so that a file's name can never become some."""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from importlib.resources import files
from typing import Any

EMPTY = frozenset({"meta", "img", "source", "link", "br", "col"})  # elements that are never closed
HOUSE = files("babe2.report") / "html"


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def tag(name: str, /, *inside: str | None, **attributes: str | float | bool | None) -> Html:
    """An element. What is `inside` is escaped unless it is `Html`; None is left out, and so is an attribute that is
    None or False. `class_` is the attribute class, and `aria_label` is aria-label.

    >>> tag("p", "1 < 2", tag("br"), class_="note", hidden=True, title=None)
    '<p class="note" hidden>1 &lt; 2<br></p>'
    """
    said = "".join(_attribute(each, value) for each, value in attributes.items())
    if name in EMPTY:
        return Html(f"<{name}{said}>")
    return Html(f"<{name}{said}>{joined(*inside)}</{name}>")


def joined(*parts: str | None) -> Html:
    """Parts one after the other; those that are no markup are escaped."""
    return Html("".join(part if isinstance(part, Html) else escape(part) for part in parts if part is not None))


def _attribute(name: str, value: str | float | bool | None) -> str:
    name = name.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'


def json_script(value: Any, **attributes: str) -> Html:
    """Data for a page's script. Inside a script nothing is escaped, but its end must not stand there."""
    return tag("script", Html(in_script(value)), type="application/json", **attributes)


def in_script(value: Any) -> str:
    """JSON that may stand inside a script element.

    >>> in_script("</script>")
    '"\\\\u003c/script>"'
    """
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")


def data_address(content: bytes, kind: str) -> str:
    """An address that holds its content itself; `kind` is its media type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def house_file(name: str) -> str:
    """A style or a script that pages share."""
    return (HOUSE / name).read_text("utf-8")


def document(title: str, style: str, script: str, *body: str) -> str:
    """A whole page that asks nothing of any network: its policy lets it run this one script and nothing else."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src data:; media-src data:; connect-src data:; base-uri 'none'; form-action 'none'"
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Html(style)),
    )
    return f"<!doctype html>\n{tag('html', head, tag('body', *body, tag('script', Html(script))), lang='en')}\n"
