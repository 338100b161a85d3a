"""Look of the page: a Gradio theme on system fonts, one stylesheet, one script. Nothing is fetched from elsewhere."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
from starlette.middleware import Middleware

from cvdemo.ui.front_page import FrontPage

STATIC = Path(__file__).parent / "static"
FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif"]
MONO_FONTS = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "Liberation Mono", "monospace"]


def theme() -> gr.themes.Base:
    """Quiet greys with one accent (a blue that stays distinct from orange for every common kind of colour vision)."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.blue,
        secondary_hue=gr.themes.colors.blue,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_md,
        spacing_size=gr.themes.sizes.spacing_md,
        font=FONTS,  # plain strings are local families: only GoogleFont objects reach for the network
        font_mono=MONO_FONTS,
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        block_border_width="1px",
        block_label_text_size="*text_sm",
        button_primary_background_fill="#0b62b8",
        button_primary_background_fill_hover="#094f94",
        button_primary_background_fill_dark="#2f7fd1",
        button_primary_background_fill_hover_dark="#4a93de",
        button_primary_text_color="white",
        button_primary_text_color_dark="white",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
        slider_color="#0b62b8",
        slider_color_dark="#5aa2e6",
    )


def stylesheet() -> str:
    """The page's own CSS."""
    return (STATIC / "style.css").read_text(encoding="utf-8")


def script() -> str:
    """The page's own JavaScript, run once when the page has loaded."""
    return (STATIC / "page.js").read_text(encoding="utf-8")


def early_script() -> str:
    """JavaScript that runs before Gradio has built the page."""
    return (STATIC / "early.js").read_text(encoding="utf-8")


def launch_look() -> dict[str, object]:
    """The arguments of ``Blocks.launch`` that carry the look.

    The stylesheet goes into the head: what is passed as ``css`` gets every selector prefixed with the container's
    class, which a switch on ``body`` (projector) could then never match.
    """
    return {
        "theme": theme(),
        "head": f"<style>{stylesheet()}</style>",
        "js": script(),
        "app_kwargs": {"middleware": [Middleware(FrontPage, early_script())]},
    }
