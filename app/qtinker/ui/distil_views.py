"""What the Distil page shows of a teacher and of the data, as HTML."""

from __future__ import annotations

from typing import Any

from . import choices, page
from .charts import bars, histogram
from .format import esc, number, percent, short_number, size
from .texts import Texts


def teacher_html(model: choices.Model | None, t: Texts) -> str:
    """What the chosen teacher is."""
    if model is None:
        return ""
    facts = [
        (t("models.parameters"), short_number(model.parameters)), (t("models.layers"), number(model.layers)),
        (t("models.hidden"), number(model.hidden)), (t("models.size"), size(model.bytes)),
    ]  # fmt: skip
    if model.licence:
        facts.append((t("models.licence"), model.licence))
    state = t("distil.teacher_trained") if model.trained else t("distil.teacher_untrained")
    words = choices.about(model, t)
    about = f'<p class="qt-small qt-muted">{esc(words)}</p>' if words else ""
    kind = "good" if model.trained else ""
    return f"{page.facts(facts)}{about}<div style='margin-top:8px'>{page.note(state, kind)}</div>"


def preview_html(found: dict[str, Any], t: Texts) -> str:
    """Rows, balance, lengths, examples; what is odd is told by the check, which knows the teacher too."""
    classes, lengths = found["classes"], found["lengths"]
    facts = [
        (t("data.train"), number(found["train"])), (t("data.eval"), number(found["eval"])),
        *([(t("data.classes"), number(len(classes)))] if classes else []),
        (t("data.unlabelled"), number(found["unlabelled"])),
        (t("data.median"), t(f"data.{lengths['unit']}", n=number(lengths["percentiles"].get("p50")))),
        (t("data.longest"), t(f"data.{lengths['unit']}", n=number(lengths["percentiles"].get("max")))),
    ]  # fmt: skip
    total = sum(each["train"] for each in classes) or 1
    rows = sorted(((c["label"], float(c["train"]), f"{number(c['train'])} · {percent(c['train'] / total, 0)}")
                   for c in classes), key=lambda row: -row[1])  # fmt: skip
    figures = [bars(rows, title=t("data.balance"))] if rows else []
    if counts := lengths.get("histogram"):
        shown = [(str(edge), int(count)) for edge, count in counts]
        percentiles = lengths["percentiles"]
        summary = t("data.lengths_summary", half=percentiles.get("p50"), most=percentiles.get("p95"))
        figures.append(
            histogram(shown, title=t("data.lengths", unit=t(f"data.unit_{lengths['unit']}")), summary=summary)
        )
    examples = [
        [f'<span class="clip">{esc(each["text"])}</span>'
         + (f'<span class="clip qt-muted">{esc(each["text_pair"])}</span>' if each.get("text_pair") else ""),
         page.pill(str(each["label"])) if each["label"] is not None else ""]
        for each in found["examples"]
    ]  # fmt: skip
    parts = [page.facts(facts), f'<div class="qt-charts">{"".join(figures)}</div>']
    parts.append(page.table([(t("data.text"), False), (t("data.label"), False)], examples, label=t("data.examples")))
    said = "".join(f"<li>{esc(t.said(words))}</li>" for words in found["findings"])
    parts.append(
        f'<details><summary class="qt-small">{esc(t("data.found"))}</summary>'
        f'<ul class="qt-small qt-muted">{said}</ul></details>'
    )
    return '<div class="qt-stack">' + "".join(f"<div>{part}</div>" for part in parts if part) + "</div>"
