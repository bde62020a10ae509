from __future__ import annotations

import gradio as gr

from babe2.page.underway.updates import lasting


def test_what_was_said_of_a_part_is_said_again_until_something_else_is() -> None:
    begun = {"stop": gr.update(visible=True), "go": gr.update(visible=False), "status": "begun"}
    under_way = {"status": "step 1"}
    ended = {"stop": gr.update(visible=False, interactive=True)}
    first, second, third = lasting([begun, under_way, ended])
    assert first == begun
    assert second == {"stop": gr.update(visible=True), "go": gr.update(visible=False), "status": "step 1"}
    assert third == {"stop": gr.update(visible=False, interactive=True), "go": gr.update(visible=False)}


def test_what_a_visitor_may_have_changed_meanwhile_is_said_once() -> None:
    begun = {"amount": gr.update(value=1, visible=True), "tabs": gr.update(selected="ltas", visible=True)}
    _, second, third = lasting([begun, {}, {"amount": 0.5}])
    assert second == {"amount": gr.update(visible=True), "tabs": gr.update(visible=True)}
    assert third == {"amount": 0.5, "tabs": gr.update(visible=True)}
