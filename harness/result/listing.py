"""What a report lists in full: the settings of each model, and the folder of each run."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from harness.plan import as_dict
from harness.record.study import Study
from harness.result import page
from harness.result.page import plain


def settings(study: Study, opened: bool) -> str:
    """Return a table of what the names of the arms stand for: the settings that differ."""
    shared = study.plan.shared()
    found = {arm: as_dict(config) for arm, config in study.plan.arms.items()}
    keys = [key for key in next(iter(found.values())) if key not in shared]
    if not keys:
        return ""
    rows = [[arm, *(_setting(of[key]) for key in keys)] for arm, of in found.items()]
    heads = ["model", *(key.replace("_", " ") for key in keys)]
    shown = page.table(heads, rows, "settings of the models", words=range(1, len(heads)))
    return page.fold("What the names of the models mean", shown, opened)


def _setting(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def runs(study: Study, opened: bool) -> str:
    """Return links to the folders of all runs, for those arms that have any here."""
    links = {arm: _links(study, arm) for arm in study.plan.arms}
    items = [f"<li>{plain(arm)}: {', '.join(of)}</li>" for arm, of in links.items() if of]
    note = "Rows of each epoch, settings, and where it ran; they lie beside this page."
    shown = f'<p class="small">{note}</p><ul>{"".join(items)}</ul>'
    return page.fold("The folder of each run", shown, opened) if items else ""


def _links(study: Study, arm: str) -> list[str]:
    """Return each seed, as a link where its run has a folder; nothing where none has."""
    folders = {f"seed {seed}": study.seed_dir(arm, seed) for seed in study.plan.seeds}
    if not any(folder.exists() for folder in folders.values()):
        return []
    return [_link(study, *item) if item[1].exists() else item[0] for item in folders.items()]


def _link(study: Study, text: str, folder: Path) -> str:
    return f'<a href="{quote(os.path.relpath(folder, study.out))}/">{text}</a>'
