"""The Guide: four questions, one recommendation with its reasons, and a link to the Distil page filled in with it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

import gradio as gr

from .. import catalog
from . import choices, page, sweep_views
from .app import Shell
from .format import esc, short_number, size
from .handlers import safe
from .preset_fields import preset_values, preset_words
from .texts import Texts

GOALS = ("quality", "balanced", "phone", "micro")
AMOUNTS = ("few", "some", "many")
LABELS = ("labels", "some", "none")
LANGUAGES = ("en", "zh", "other")


@dataclass(frozen=True)
class Advice:
    """What to choose. Names are the catalog's; `student` may be "layers" (of the teacher)."""

    teacher: str
    student: str
    preset: str
    reasons: tuple[str, ...]


def advise(goal: str, amount: str, labels: str, language: str) -> Advice:
    """The recommendation; every name is in the catalog (a test holds it).

    The reasons: a task-tuned pretrained student beats a larger random one; Google's miniatures differ from BERT-Base
    in width, which relations don't mind, so the presets that begin with them suit every pair named here; little data
    wants a teacher that is not too large for it, and more passes.
    """
    reasons = [f"goal_{goal}", f"amount_{amount}", f"labels_{labels}", f"language_{language}"]
    if language == "en":
        teacher = "bert-base-uncased" if goal != "quality" or amount == "few" else "bert-large-uncased-wwm"
        student = {"quality": "bert-medium", "balanced": "bert-small", "phone": "bert-mini", "micro": "bert-tiny"}[goal]
    else:
        teacher = "bert-chinese" if language == "zh" else "bert-multilingual-cased"
        student = "layers"
    preset = "best" if goal == "quality" or amount == "few" else "balanced"
    return Advice(teacher, student, preset, tuple(reasons))


def build(shell: Shell) -> None:
    """Draw the page and bind it."""
    t = shell.t
    with gr.Row(equal_height=False):
        with gr.Column(scale=7, min_width=320), gr.Column(elem_classes="qt-card"):
            gr.HTML(page.title(t("guide.title"), t("guide.lead")))
            boxes = []
            for name, options in (("goal", GOALS), ("amount", AMOUNTS), ("labels", LABELS), ("language", LANGUAGES)):
                boxes.append(
                    gr.Radio(
                        [(t(f"guide.{name}_{option}"), option) for option in options],
                        value="balanced" if name == "goal" else "some" if name == "amount" else options[0],
                        label=t(f"guide.{name}"),
                        elem_classes="qt-choices qt-wide" if len(options) == 3 else "qt-choices",
                        elem_id=f"qt-guide-{name}",
                    )
                )
        with gr.Column(scale=5, min_width=300, elem_classes="qt-sticky"), gr.Column(elem_classes="qt-card"):
            own = gr.HTML(elem_id="qt-own-advice")
            answer = gr.HTML(advice_html("balanced", "some", "labels", "en", t), elem_id="qt-advice")

    measured = safe(t, quiet=True)(lambda goal: sweep_views.own_advice(t, goal))
    shell.loaded(measured, boxes[:1], [own])
    shell.opened("guide", measured, boxes[:1], [own])
    boxes[0].change(measured, boxes[:1], [own], queue=False, **shell.quiet)

    @safe(t, quiet=True)
    def answered(goal: str, amount: str, labels: str, language: str) -> str:
        return advice_html(goal, amount, labels, language, t)

    gr.on(
        [box.change for box in boxes],
        answered,
        boxes,
        answer,
        queue=False,
        **shell.quiet,
    )


def advice_html(goal: str, amount: str, labels: str, language: str, t: Texts) -> str:
    """The recommendation in words, with its reasons."""
    for value, known in ((goal, GOALS), (amount, AMOUNTS), (labels, LABELS), (language, LANGUAGES)):
        if value not in known:
            return ""
    advice = advise(goal, amount, labels, language)
    teacher = choices.find(advice.teacher) or choices.find(getattr(catalog.find(advice.teacher), "name", None))
    student = choices.find(advice.student) if advice.student != "layers" else None
    method = preset_values(advice.preset)["method.name"]
    facts = [
        (t("distil.teacher"), advice.teacher),
        (t("distil.student"), advice.student if student else t("guide.layers")),
        (t("distil.method"), t.get(f"method.{method}", method).split("\n")[0]),
        (t("distil.preset"), preset_words(advice.preset, t).split("\n")[0]),
    ]
    if student:
        facts.append((t("models.size"), f"{size(student.bytes)} · {short_number(student.parameters)}"))
        if gain := choices.speed_up(teacher, student):
            facts.append((t("distil.speed_up"), choices.gain_words(gain, t)))
    reasons = "".join(f"<li>{esc(t(f'guide.why_{reason}'))}</li>" for reason in advice.reasons)
    query = {"tab": "distil", "teacher": advice.teacher, "preset": advice.preset, "student": advice.student}
    address = "?" + urlencode(query)
    return (
        page.title(t("guide.answer")) + f'<div style="margin:12px 0">{page.facts(facts)}</div>'
        f'<ul class="qt-small" style="padding-left:18px;margin:0 0 14px">{reasons}</ul>'
        f'<div class="qt-links"><a class="primary" id="qt-use-advice" href="{esc(address)}">'
        f"{esc(t('guide.use'))}</a></div>"
    )
