"""What the page (app.py) does beside layout and words. Only here is Gradio known."""
