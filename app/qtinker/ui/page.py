"""Small pieces of HTML that every page uses; all text that is not ours is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .format import esc

# Clicks on anything with data-pick become the event `select` with that key.
PICK = """
element.addEventListener('click', (event) => {
  const target = event.target.closest('[data-pick]');
  if (target) trigger('select', {key: target.dataset.pick});
});
"""


def step(number: int | str, title: str, lead: str = "") -> str:
    """Heading of a numbered part."""
    sub = f"<p>{esc(lead)}</p>" if lead else ""
    return f'<div class="qt-step"><b aria-hidden="true">{esc(number)}</b><div><h2>{esc(title)}</h2>{sub}</div></div>'


def title(words: str, lead: str = "") -> str:
    """Heading of a part."""
    return f'<h2 class="qt-title">{esc(words)}</h2>' + (f'<p class="qt-lead">{esc(lead)}</p>' if lead else "")


def pill(words: str, kind: str = "") -> str:
    """A small label."""
    return f'<span class="qt-pill {kind}">{esc(words)}</span>'


def note(words: str, kind: str = "", *, head: str = "", fix: str = "") -> str:
    """A sentence that wants to be seen. `kind` is "", good, warn or bad."""
    top = f"<b>{esc(head)}</b>" if head else ""
    end = f'<span class="qt-fix">{esc(fix)}</span>' if fix else ""
    role = "alert" if kind == "bad" else "status"
    return f'<div class="qt-note {kind}" role="{role}">{top}{esc(words)}{end}</div>'


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Names and values side by side."""
    items = "".join(f"<div><dt>{esc(name)}</dt><dd>{esc(value)}</dd></div>" for name, value in pairs)
    return f'<dl class="qt-facts">{items}</dl>'


def progress(share: float | None, left: str = "", right: str = "", *, label: str = "") -> str:
    """A progress bar; None is a bar that only says that something goes on."""
    if share is None:
        bar = f'<div class="qt-progress unknown" role="progressbar" aria-label="{esc(label or left)}"><i></i></div>'
    else:
        share = min(1.0, max(0.0, share))
        bar = (
            f'<div class="qt-progress" role="progressbar" aria-valuemin="0" aria-valuemax="100" '
            f'aria-valuenow="{100 * share:.0f}" aria-label="{esc(label or left)}">'
            f'<i style="--w:{100 * share:.1f}%"></i></div>'
        )
    words = f'<div class="qt-progress-words"><span>{esc(left)}</span><span>{esc(right)}</span></div>'
    return bar + (words if left or right else "")


def empty(head: str, words: str) -> str:
    """What stands where there is nothing yet."""
    return f'<div class="qt-card qt-empty"><b>{esc(head)}</b>{esc(words)}</div>'


def table(
    columns: Sequence[tuple[str, bool]], rows: Iterable[Sequence[str]], *, label: str, attributes: Sequence[str] = ()
) -> str:
    """A table of cells that are HTML already; a column is (heading, is it a number)."""
    head = "".join(f'<th scope="col" class="{"num" if numeric else ""}">{esc(name)}</th>' for name, numeric in columns)
    body = ""
    for index, row in enumerate(rows):
        cells = "".join(
            f'<td class="{"num" if numeric else ""}">{cell}</td>'
            for cell, (_, numeric) in zip(row, columns, strict=True)
        )
        body += f"<tr {attributes[index] if attributes else ''}>{cells}</tr>"
    return (
        f'<div class="qt-scroll" tabindex="0" role="region" aria-label="{esc(label)}"><table class="qt-table">'
        f'<caption class="qt-visually-hidden">{esc(label)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def links(items: Iterable[tuple[str, str]], *, primary: int | None = None) -> str:
    """Download links: (address of ours, words)."""
    parts = "".join(
        f'<a href="{esc(address)}" download class="{"primary" if index == primary else ""}">{esc(words)}</a>'
        for index, (address, words) in enumerate(items)
    )
    return f'<div class="qt-links">{parts}</div>'
