"""Text that a visitor typed, inside HTML that passes through Gradio's templates."""

from __future__ import annotations

import html


def safe(text: str) -> str:
    """Text escaped for HTML and for the templates."""
    return tamed(html.escape(text))


def tamed(markup: str) -> str:
    """Markup without the letters that mean something to Gradio's templates."""
    return markup.translate({ord(c): f"&#{ord(c)};" for c in "${}`\\"})
