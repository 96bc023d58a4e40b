"""Writes the tables and numbers of pages from the records: `python -m harness.result.pages`.

A page is a README.md. Between marks stands what the records say, and nobody types it:

    <!-- table: mlp.balance -->                  TABLES["balance"] of mlp/pages.py
    | difference | ... |                         (a list of rows, the head first)
    <!-- end -->
    ... makes <!-- value: mlp.bibd -->+0.04 ± 0.06<!-- end --> points     VALUES["bibd"] of it

A `pages.py` holds two dicts of functions without arguments: `TABLES` (rows of texts) and `VALUES`
(texts). It formats to digits far above the rounding of sums (`fixed`), so that every machine
writes the same page.
"""

import argparse
import importlib
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from harness.experiment import Experiment
from harness.names import unknown
from harness.plan import Plan, duration
from harness.record import store
from harness.result.stats import Interval, interval, paired

MARK = re.compile(r"<!-- (table|value): ([a-z]+)\.(\w+) -->(.*?)<!-- end -->", re.DOTALL)
CLAIM = re.compile(r"±|\d ?%")  # what a page may say of a record between marks only
MINUS = "\N{MINUS SIGN}"
Rows = Iterable[Sequence[str]]


def main(argv: Sequence[str] | None = None) -> int:
    """Write the pages; returns 1 if --check finds one that would change, 2 if a mark is wrong."""
    parser = argparse.ArgumentParser(prog="python -m harness.result.pages", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("pages", nargs="*", type=Path, help="default: README.md and */README.md")
    parser.add_argument("--check", action="store_true", help="only name what would change")
    options = parser.parse_args(argv)
    changed = []
    for page in options.pages or [Path("README.md"), *sorted(Path().glob("*/README.md"))]:
        before = page.read_text(encoding="utf-8")
        try:
            after = fill(before)
        except ValueError as error:
            print(f"error: {page}: {error}", file=sys.stderr)
            return 2
        if after != before:
            changed.append(str(page))
            if not options.check:
                store.write(page, after)
    verb = "would change" if options.check else "written"
    print(f"{verb}: {', '.join(changed)}" if changed else "all pages say what the records say")
    return 1 if changed and options.check else 0


def fill(text: str) -> str:
    """Return the page with everything between its marks written anew from the records.

    Raises:
        ValueError: a mark names nothing, has no end, or begins a line (Markdown would then take
            the line for HTML and end the paragraph).
    """
    starts = len(re.findall(r"<!-- (?:table|value):", text))
    if starts != len(MARK.findall(text)) or starts != text.count("<!-- end -->"):
        raise ValueError(
            f"{starts} marks begin and {text.count('<!-- end -->')} end; expected "
            "`<!-- table: study.name -->` or `<!-- value: study.name -->`, each with `<!-- end -->`"
        )
    if lost := re.search(r"^ *(<!-- value.*|<!-- end -->\S.*)", text, re.MULTILINE):
        raise ValueError(f"a line begins with a mark, wrap it elsewhere: {lost[0]}")
    return MARK.sub(_written, text)


def _written(mark: re.Match[str]) -> str:
    kind, study, name, _ = mark.groups()
    module = importlib.import_module(f"{study}.pages")
    known: dict[str, Callable[[], Any]] = module.TABLES if kind == "table" else module.VALUES
    if name not in known:
        raise unknown(f"{kind} of {study}/pages.py", name, known)
    found = known[name]()
    inner = f"\n{table(found)}\n" if kind == "table" else found
    return f"<!-- {kind}: {study}.{name} -->{inner}<!-- end -->"


def table(rows: Rows) -> str:
    """Return rows, of which the first is the head, as Markdown with number columns to the right."""
    head, *body = [list(row) for row in rows]
    columns = zip(*body, strict=True)
    rule = ["---:" if all(map(_is_number, column)) else "---" for column in columns]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *body))


def _is_number(cell: str) -> bool:
    return not cell or cell[0].isdigit() or (cell[0] in "+-" and len(cell) > 1)


def loose(text: str) -> list[str]:
    """Return the lines of prose that state an interval or a share which no mark holds.

    "95 %" is a level and no finding, so it does not count; nor do code, tables between marks and
    what is in backticks.

    Code, tables between marks and what is in backticks do not count.
    """
    text = re.sub(r"```.*?```", "", MARK.sub("", text), flags=re.DOTALL)
    text = re.sub(r"`[^`\n]*`", "", text).replace("95 %", "")
    return [line for line in text.splitlines() if CLAIM.search(line)]


def record(study: str, plan: str) -> Experiment:
    """Return the committed record of a plan."""
    root = Path(__file__).resolve().parents[2]
    return store.load(root / "results" / study / plan / "experiment.json")


def recorded(study: str, plan: str) -> Experiment | None:
    """Return the committed record of a plan; None where it has not been run."""
    try:
        return record(study, plan)
    except FileNotFoundError:
        return None


def plans(study: str, known: dict[str, Plan]) -> Rows:
    """Return a table of a study's plans: what to type, what each asks and how long it takes."""
    yield "plan", "question", "time on 2 cores"
    for name, plan in known.items():
        yield f"`python -m {study} {name}`", plan.question, duration(plan.minutes)


def fixed(value: float, digits: int, sign: str = "") -> str:
    """Format a number with this many decimals, so that rounding errors change no digit anywhere."""
    return format(float(f"{value:.10g}"), f"{sign},.{digits}f")


def mean(values: Iterable[float], digits: int = 4, scale: float = 1) -> str:
    """Format a mean with half its 95 % interval, such as "0.9493 ± 0.0021"."""
    i = interval(values)
    assert i.half is not None, "a page shows no accuracy of a single seed"
    return f"{fixed(scale * i.mean, digits)} ± {fixed(scale * i.half, digits)}"


def points(i: Interval, digits: int = 2, star: bool = True) -> str:
    """Format a difference in points, such as "+0.16 ± 0.11*"; the star says it excludes 0."""
    assert i.low is not None and i.high is not None and i.half is not None  # noqa: PT018
    text = f"{fixed(100 * i.mean, digits, '+')} ± {fixed(100 * i.half, digits)}"
    return text + "\\*" * (star and (i.low > 0 or i.high < 0))


def difference(
    whole: Experiment, first: str, second: str, metric: str = "test_accuracy"
) -> Interval:
    """Return the interval of the first arm minus the second, paired by seed."""
    a, b = (whole.last(arm, metric) for arm in (first, second))
    found = paired(first, second, a, b)
    assert found is not None, f"no seed has both {first} and {second}"
    return found.interval


def told(i: Interval | None, digits: int = 1) -> str:
    """Format a difference in points that may not be there, and say where none is shown."""
    if i is None:
        return "not run"
    if i.half is None:
        return f"{fixed(100 * i.mean, digits, '+')} ({i.count})"
    return points(i, digits, star=False) + ", no difference shown" * (not i.excludes_zero)


def prose(i: Interval, digits: int = 2) -> str:
    """Format a difference for a sentence: with a true minus sign, and without a star."""
    return points(i, digits, star=False).replace("-", MINUS)


def loss(i: Interval, digits: int = 1) -> str:
    """Format how much less it is: the difference without its sign, for sentences with "loses"."""
    assert i.half is not None
    return f"{fixed(100 * abs(i.mean), digits)} ± {fixed(100 * i.half, digits)}"


if __name__ == "__main__":
    sys.exit(main())
