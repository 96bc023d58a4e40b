"""`make site`: every notebook, report and demo page as files that need no network."""

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from harness import flags

NEEDS = "nbconvert and latex2mathml are missing: pip install -e '.[dev]' brings them"


@dataclass(frozen=True)
class Options:
    """Makes pages of all notebooks, published records and demos, and an index of them.

    They are files that a browser opens from the disk; none asks a server for anything.
    """

    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("site")
    """The folder."""
    only: Annotated[str, tyro.conf.arg(metavar="WORD")] = ""
    """Only pages whose name has this in it; the index keeps its other cards."""


def main(argv: Sequence[str] | None = None) -> int:
    """Make the site; returns 1 where nothing has such a name, 2 where it cannot be made."""
    options = flags.read(Options, sys.argv[1:] if argv is None else argv, "python -m primer.site")
    try:
        return _make(options.out, options.only)
    except ModuleNotFoundError as error:
        if error.name not in ("nbconvert", "latex2mathml"):
            raise
        print(f"error: {NEEDS}", file=sys.stderr)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
    return 2


def _make(site: Path, only: str) -> int:
    from primer.site import index

    found = {
        "Notes": [*_notes(site, only)],
        "Pages that compute": [*_demos(site, only)],
        "Records": [*_records(site, only)],
    }
    count = sum(map(len, found.values()))
    told = f"{index.write(site, found, bool(only))}: {count} pages" if count else ""
    print(told or f"no page has {only!r}")
    return 0 if count else 1


def _notes(site: Path, only: str) -> Iterator:
    from primer.site import notebook
    from primer.site.leaf import ROOT

    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        if only in path.stem:
            yield notebook.write(path, site, lambda link: follow(link, site, only))


def _records(site: Path, only: str) -> Iterator:
    from primer.site import report

    for path in report.records():
        if only in "-".join(report.words_of(path)):
            yield report.write(path, site)


def _demos(site: Path, only: str) -> Iterator:
    from primer.site import demo

    for name in demo.DEMOS:
        if only in name:
            made = demo.write(name, site)
            if isinstance(made, str):
                print(made, file=sys.stderr)
            else:
                yield made


def follow(link: str, site: Path, only: str = "") -> str:
    """Return where a link of a notebook leads on the site; empty where the site has no such page.

    A Python file that it names becomes a page. The READMEs are pages of the checkout only; of the
    notebooks, those with `only` in their name are made in this call, and others may lie there.
    """
    from primer.site import source
    from primer.site.leaf import ROOT

    if link.startswith(("http://", "https://", "#")):
        return link
    name, _, part = link.partition("#")
    path = Path(os.path.normpath(ROOT / "notebooks" / name))
    if not path.is_file():
        raise ValueError(f"the link {link!r} leads to {path}, which is not there")
    if path.suffix == ".ipynb":
        page = f"{path.stem}.html"
        there = only in path.stem or (site / "notebooks" / page).exists()
        return page + f"#{part}" * bool(part) if there else ""
    return f"../{source.write(path, site)}" if path.suffix == ".py" else ""


if __name__ == "__main__":
    raise SystemExit(main())
