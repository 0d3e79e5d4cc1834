"""The page: header, tabs, and the addresses that lead to each (`/?tab=runs&run=ID`). One Blocks a language."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import gradio as gr

from .format import esc
from .texts import LANGUAGES, Texts

PAGES = ("distil", "runs", "models", "quantize", "compare", "sweep", "guide")
SHOWN_AS = {"find": "sweep", "measure": "compare"}
"""Pages whose name on the tab is another than their address's."""
LOGO = (
    '<svg viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="8" fill="#0f766e"/>'
    '<circle cx="13" cy="14" r="7.2" fill="none" stroke="#fff" stroke-width="2.6"/>'
    '<path d="M18 19l6 6" stroke="#fff" stroke-width="2.6" stroke-linecap="round"/>'
    '<circle cx="13" cy="14" r="2.4" fill="#7ff0e1"/><circle cx="25.4" cy="9" r="2.2" fill="#7ff0e1"/></svg>'
)

Call = tuple[Any, ...]  # function, inputs, outputs, and perhaps JavaScript


@dataclass
class Shell:
    """What the pages share: the words, the tabs, the chosen run, and who wants to be told what.

    `on_open[page]` are (function, inputs, outputs, settings of the event), called when its tab is shown, `on_load` when
    the page is loaded. The tab that the address names is shown while the page is still being filled in: what is called
    then must not answer otherwise than loading does.
    """

    t: Texts
    tabs: gr.Tabs
    run: gr.Textbox
    on_open: dict[str, list[Call]] = field(default_factory=dict)
    on_load: list[list[Call]] = field(default_factory=list)
    timers: dict[str, gr.Timer] = field(default_factory=dict)

    @property
    def quiet(self) -> dict[str, Any]:
        """Settings of an event that shows no progress of its own and is no endpoint for programs.

        Whenever a call begins or ends, Gradio's page goes through all components whose progress was ever told, and for
        each through the whole page. So what is not shown is told to one hidden field instead of to every output.
        """
        return {"show_progress": "hidden", "show_progress_on": self.run, "api_visibility": "private"}

    def loaded(
        self, function: Callable[..., Any], inputs: list[Any], outputs: list[Any], *then: Call, js: str | None = None
    ) -> None:
        """Call `function` when the page is loaded, whichever tab the address names, and `then` one after the other.

        `js` gives the inputs in the browser.
        """
        self.on_load.append([(function, inputs, outputs, js), *then])

    def opened(
        self, name: str, function: Callable[..., Any], inputs: list[Any], outputs: list[Any], **how: Any
    ) -> None:
        """Call `function` whenever the page `name` comes to the front; `how` are further settings of Gradio's event."""
        self.on_open.setdefault(name, []).append((function, inputs, outputs, how))


def header(t: Texts) -> str:
    """Brand, language and the switch between light and dark."""
    other = "zh" if t.language == "en" else "en"
    address = "/zh/" if other == "zh" else "/"
    return (
        f'<header class="qt-header"><h1 class="qt-brand">{LOGO}QTinker</h1><p class="qt-tag">{esc(t("app.tag"))}</p>'
        f'<nav aria-label="{esc(t("app.settings"))}"><a href="{address}" onclick="qt.language(this)" lang="{other}" '
        f'hreflang="{other}">{esc(LANGUAGES[other])}</a>'
        f'<button type="button" onclick="qt.theme()">{esc(t("app.theme"))}</button></nav></header>'
    )


def build(language: str = "en") -> gr.Blocks:
    """The whole page in one language."""
    from . import api_endpoints, compare_page, distil, guide, models_page, quantize_page, runs_page, sweep_page

    t = Texts(language)
    builders: dict[str, Callable[[Shell], None]] = {
        "distil": distil.build, "runs": runs_page.build, "models": models_page.build,
        "quantize": quantize_page.build, "compare": compare_page.build, "sweep": sweep_page.build,
        "guide": guide.build,
    }  # fmt: skip
    with gr.Blocks(title="QTinker", analytics_enabled=False, fill_width=True) as blocks:
        gr.HTML(header(t))
        run = gr.Textbox(visible=False)  # kept by the browser, so that it outlives the server
        with gr.Tabs(elem_id="qt-tabs", selected="distil") as tabs:
            shell = Shell(t, tabs, run)
            opened: dict[str, gr.Tab] = {}
            for name in PAGES:
                with gr.Tab(t(f"tab.{name}"), id=name, elem_id=f"qt-tab-{name}") as tab:
                    builders[name](shell)
                opened[name] = tab
        _wire(blocks, shell, opened)
        if language == "en":
            api_endpoints.build()
    return blocks


def _wire(blocks: gr.Blocks, shell: Shell, opened: dict[str, gr.Tab]) -> None:
    """Tabs change the address, run their page's refresh and switch its timer on; loading opens the address's tab."""
    quiet = shell.quiet
    timers = list(shell.timers.values())

    def switch(name: str) -> Any:
        updates = [gr.Timer(active=name == owner) for owner in shell.timers]
        return updates[0] if len(updates) == 1 else updates  # Gradio takes a list for one output as its value

    def first(request: gr.Request) -> list[Any]:
        """The tab that the address names."""
        wanted = request.query_params.get("tab", PAGES[0])
        wanted = SHOWN_AS.get(wanted, wanted)
        wanted = wanted if wanted in PAGES else PAGES[0]
        return [gr.Tabs(selected=wanted), *[gr.Timer(active=wanted == owner) for owner in shell.timers]]

    blocks.load(first, outputs=[shell.tabs, *timers], **quiet)
    for name, tab in opened.items():
        tab.select(None, js=f"() => qt.set({{tab: '{name}'}})", api_visibility="private")
        tab.select(functools.partial(switch, name), outputs=timers, queue=False, **quiet)
        for function, inputs, outputs, how in shell.on_open.get(name, []):
            tab.select(function, inputs, outputs, **quiet | how)
    together = [calls[0] for calls in shell.on_load if len(calls) == 1 and not calls[0][3]]
    blocks.load(_in_one(together), *_joined(together), **quiet)
    for (function, inputs, outputs, script), *following in shell.on_load:
        if not following and not script:
            continue
        done = blocks.load(function, inputs, outputs, js=script, **quiet)
        for function, inputs, outputs, *scripts in following:
            done = done.then(function, inputs, outputs, js=scripts[0] if scripts else None, **quiet)


def _joined(calls: list[Call]) -> tuple[list[Any], list[Any]]:
    """All inputs and all outputs of the calls, in their order."""
    return [each for call in calls for each in call[1]], [each for call in calls for each in call[2]]


def _in_one(calls: list[Call]) -> Callable[..., list[Any]]:
    """The functions of all calls as one: a call a button would keep the browser busy for seconds."""

    asking = [
        any(each.annotation in ("gr.Request", gr.Request) for each in signature(call[0]).parameters.values())
        for call in calls
    ]

    def call_all(request: gr.Request, *values: Any) -> list[Any]:
        found: list[Any] = []
        rest = iter(values)
        for (function, inputs, outputs, *_), asks in zip(calls, asking, strict=True):
            given = [next(rest) for _ in inputs]
            answer = function(*given, request) if asks else function(*given)
            many = len(outputs) > 1 and isinstance(answer, list | tuple)
            found += answer if many else [answer] * len(outputs)  # an answer to many that is no list is gr.skip()
        return found

    return call_all
