"""What the page (app.py) does, except layout and words. Gradio is imported in this room and in app.py only."""
