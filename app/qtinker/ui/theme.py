"""The look: colours and fonts for Gradio's parts; everything of our own is in static/style.css.

Only fonts that the reader's system has: nothing is fetched.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import gradio as gr
from gradio.themes.utils import colors

_STATIC = Path(__file__).parent / "static"
SANS = ("Inter", "system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "Noto Sans CJK SC", "PingFang SC",
        "Microsoft YaHei", "sans-serif")  # fmt: skip
MONO = ("ui-monospace", "SFMono-Regular", "Cascadia Mono", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace")


@cache
def theme() -> gr.themes.Base:
    """The theme, light and dark."""
    base = gr.themes.Base(
        primary_hue=colors.teal, secondary_hue=colors.teal, neutral_hue=colors.slate,
        font=[gr.themes.Font(name) for name in SANS], font_mono=[gr.themes.Font(name) for name in MONO],
        radius_size=gr.themes.sizes.radius_md, spacing_size=gr.themes.sizes.spacing_md,
        text_size=gr.themes.sizes.text_md,
    )  # fmt: skip
    return base.set(
        body_background_fill="#f6f7f9", body_background_fill_dark="#0e1216",
        body_text_color="#17202a", body_text_color_dark="#e4e9ee",
        body_text_color_subdued="#55626f", body_text_color_subdued_dark="#9aa7b4",
        background_fill_primary="#ffffff", background_fill_primary_dark="#161c22",
        background_fill_secondary="#f6f7f9", background_fill_secondary_dark="#11161b",
        border_color_primary="#dde3e9", border_color_primary_dark="#2a333c",
        block_background_fill="transparent", block_background_fill_dark="transparent",
        block_border_width="0px", block_shadow="none", block_padding="0px", block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent", block_label_border_width="0px",
        block_label_text_color="*body_text_color", block_label_text_color_dark="*body_text_color",
        block_label_text_weight="600", block_title_text_weight="600", block_title_text_color="*body_text_color",
        block_title_text_color_dark="*body_text_color", block_info_text_color="*body_text_color_subdued",
        block_info_text_size="13px", panel_border_width="0px",
        input_background_fill="#ffffff", input_background_fill_dark="#10151a",
        input_border_color="#c3ccd6", input_border_color_dark="#3a4652", input_border_width="1px",
        input_border_color_focus="#0d9488", input_border_color_focus_dark="#2dd4bf",
        input_shadow_focus="0 0 0 3px rgba(13,148,136,.18)", input_shadow_focus_dark="0 0 0 3px rgba(45,212,191,.22)",
        input_padding="9px 12px",
        button_primary_background_fill="#0f766e", button_primary_background_fill_hover="#0b5f59",
        button_primary_background_fill_dark="#14b8a6", button_primary_background_fill_hover_dark="#2dd4bf",
        button_primary_text_color="#ffffff", button_primary_text_color_dark="#04211e",
        button_secondary_background_fill="#ffffff", button_secondary_background_fill_dark="#1d252d",
        button_secondary_background_fill_hover="#eef2f5", button_secondary_background_fill_hover_dark="#27313a",
        button_secondary_border_color="#c3ccd6", button_secondary_border_color_dark="#3a4652",
        button_border_width="1px", button_large_padding="11px 18px", button_small_padding="6px 12px",
        button_large_text_weight="600", button_medium_text_weight="600", button_small_text_weight="500",
        button_transform_hover="none", button_transform_active="none", button_primary_shadow="none",
        button_secondary_shadow="none",
        checkbox_label_background_fill="#ffffff", checkbox_label_background_fill_dark="#10151a",
        checkbox_label_border_color="#c3ccd6", checkbox_label_border_color_dark="#3a4652",
        checkbox_label_border_width="1px", checkbox_label_padding="8px 12px",
        checkbox_background_color_selected="#0f766e", checkbox_background_color_selected_dark="#14b8a6",
        checkbox_border_color_selected="#0f766e", checkbox_border_color_selected_dark="#14b8a6",
        link_text_color="#0f766e", link_text_color_dark="#5eead4",
        link_text_color_hover="#0b5f59", link_text_color_hover_dark="#99f6e4",
        link_text_color_visited="#0f766e", link_text_color_visited_dark="#5eead4",
        link_text_color_active="#0b5f59", link_text_color_active_dark="#99f6e4",
        color_accent_soft="#d9f0ed", color_accent_soft_dark="#12302e",
        error_background_fill="#fdf0ee", error_background_fill_dark="#2b1614",
        table_even_background_fill="transparent", table_odd_background_fill="transparent",
    )  # fmt: skip


def css() -> str:
    """Our style sheet."""
    return (_STATIC / "style.css").read_text(encoding="utf-8")


def head() -> str:
    """Our script, in the page's head."""
    return f"<script>{(_STATIC / 'page.js').read_text(encoding='utf-8')}</script>"


def icon() -> Path:
    """The picture in the browser's tab."""
    return _STATIC / "favicon.png"
