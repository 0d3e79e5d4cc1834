"""Write docs/settings.md from the spec: `python docs/make_settings.py`. A test holds the file to it."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "app"))

from qtinker.options import SettingOption, distill_options  # noqa: E402
from qtinker.presets import Preset, presets  # noqa: E402
from qtinker.spec import METHODS  # noqa: E402

PAGE = ROOT / "docs" / "settings.md"
HEAD = """# Settings

Every setting of a run, as option of `distill` (and of `finetune`, where it applies) and as key of a YAML file for
`run SPEC.yaml`. Made from `app/qtinker/spec.py` by `docs/make_settings.py`; don't edit it here.

`python3 app distill ... --print-spec` prints the YAML that a command amounts to.
"""
PRESETS = "`--preset NAME` fills in settings that go well together; what is given beside it counts:\n"
TITLES = {
    "teacher": "Teacher", "student": "Student", "data": "Data", "task": "Task", "method": "Method",
    "training": "Training", "run": "Run",
}  # fmt: skip


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for panel, title in TITLES.items():
        parts.append(f"## {title}\n")
        if panel == "method":
            parts += [f"- `{name}`: {' '.join((method.__doc__ or '').split())}" for name, method in METHODS.items()]
            parts += ["", PRESETS, *(preset_line(each) for each in presets().values()), ""]
        parts.append("| option | key | default | meaning |\n|---|---|---|---|")
        parts += [row(each) for each in distill_options() if each.panel == panel and each.field != "preset"]
        parts.append("")
    return "\n".join(parts)


def preset_line(preset: Preset) -> str:
    """One preset's line: what it is for and what it sets."""
    flat = [
        f"{part}.{name} {value}" if part != "control" else "control"
        for part, value in preset.settings.items()
        for name, value in (value.items() if isinstance(value, dict) else [("", value)])
    ]
    return f"- `{preset.name}`: {preset.about} ({', '.join(flat)})"


def row(option: SettingOption) -> str:
    """One setting's row."""
    flags = ", ".join(f"`{flag}`" for flag in option.flags)
    cells = [flags, f"`{option.field}`", option.shown_default() or ("needed" if option.required else ""), words(option)]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def words(option: SettingOption) -> str:
    """Title, description, range and methods."""
    text = f"{option.title}. {option.description}" if option.field != "method.name" else f"{option.title}, as above."
    if option.limits:
        text += f" ({option.limits})"
    if option.methods and len(option.methods) < len(METHODS):
        text += f" Only {' and '.join(option.methods)}."
    return text


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8", newline="\n")
