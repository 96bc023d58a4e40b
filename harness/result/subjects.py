"""The verb `verify` of a study whose identities are filed by subject.

A subject is a module with `identities()`, which yields Identity after Identity. It may have
`notes()`, which returns what cannot be checked here, in words.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated

import tyro

from harness import flags
from harness.names import check
from harness.result import export
from harness.result.findings import Findings, find, tell


@dataclass(frozen=True)
class Options:
    """Checks the identities that this study must fulfil; exit status 1 if one does not hold."""

    names: Annotated[
        tyro.conf.Positional[tuple[str, ...]],
        tyro.conf.arg(metavar="[SUBJECT ...]", help_behavior_hint="(default: all subjects)"),
    ] = ()
    """Which subjects."""
    json: bool = False
    """Print a list of objects, one per identity."""
    to: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the table there: as .csv, .tex, .md or .json, by the name's ending."""


class Subjects:
    """Checks identities by subject: `print(verify("cascade"))`, or all: `print(verify())`.

    Args:
        study: The package, as `python -m` names it.
        modules: The module of each subject.
    """

    def __init__(self, study: str, modules: Mapping[str, str]):
        self.study, self.modules = study, modules

    def __call__(self, *subjects: str) -> Findings:
        """Check the identities of some subjects, or of all.

        Raises:
            ValueError: an unknown subject.
        """
        for name in subjects:
            check("subject", name, self.modules)
        found = Findings()
        for name in subjects or self.modules:
            module = import_module(self.modules[name])
            for each in module.identities():
                found.append(find(name, each.title, each.kind, each.check, each.limit))
            found.notes += tuple(getattr(module, "notes", tuple)())
        return found

    def main(self, argv: Sequence[str]) -> int:
        """Check the identities that the command line asks for, and print or write them."""
        options = flags.read(Options, argv, f"python -m {self.study} verify")
        export.check(options.to)
        return tell(self(*options.names), "subject", options.json, options.to)
