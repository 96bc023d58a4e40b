"""The record of a study: builtin values only, so that it outlives every library.

An Experiment holds Runs, a Run holds one row per epoch. It is pickled (the documented format) and
written beside it as the same JSON. This module is where the pickles point to: keep the names.
"""

import math
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

# Since 2 a file holds the rows of a run as columns; since 3 what all runs of an arm share once.
SCHEMA = 3
SHARED = "config", "facts"
DONE, FAILED = "done", "failed"


@dataclass
class Run:
    """One arm trained with one seed.

    `rows`: one dict per epoch. `facts`: what does not change with the epoch (parameters, FLOPs).
    `provenance`: key into the experiment's table of provenances.
    """

    arm: str
    seed: int
    key: str
    config: dict[str, Any]
    rows: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    status: str = DONE
    error: str | None = None
    provenance: str | None = None

    @classmethod
    def from_dict(cls, content: Any, where: str = "this") -> "Run":
        """Make a run from plain values; its rows may be given as columns, as files have them.

        Raises:
            ValueError: the content is no run.
        """
        run = _build(cls, content, where)
        if isinstance(run.rows, dict):
            keys, columns = list(run.rows), run.rows.values()
            if len({len(column) for column in columns}) > 1:
                raise ValueError(f"{where} has columns of different length")
            run.rows = [dict(zip(keys, row, strict=True)) for row in zip(*columns, strict=True)]
        return run


@dataclass
class Experiment:
    """All runs of one plan of one study."""

    folder: str
    plan: str
    question: str = ""
    runs: list[Run] = field(default_factory=list)
    provenance: dict[str, dict[str, Any]] = field(default_factory=dict)
    schema: int = SCHEMA

    def done(self) -> list[Run]:
        """Return the runs that ended well."""
        return [run for run in self.runs if run.status == DONE]

    def arms(self) -> list[str]:
        """Return the names of the arms, in the order of the plan."""
        return list(dict.fromkeys(run.arm for run in self.runs))

    def final(self, arm: str, metric: str) -> dict[int, float]:
        """Return `metric` in the last epoch by seed, for runs of the arm that have it.

        Raises:
            ValueError: the record has no such arm, or its rows no such metric; names what it has.
        """
        keys = dict.fromkeys(key for run in self.runs for row in run.rows for key in row)
        for what, got, known in (("arm", arm, self.arms()), ("metric", metric, keys or [metric])):
            if got not in known:
                raise ValueError(f"unknown {what} {got!r}: there are {', '.join(known)}")
        return self.last(arm, metric)

    def last(self, arm: str, metric: str) -> dict[int, float]:
        """Return the same, and nothing of an arm or a metric that the record lacks (so far)."""
        runs = [run for run in self.done() if run.arm == arm and run.rows]
        values = {run.seed: run.rows[-1].get(metric) for run in runs}
        return {seed: value for seed, value in values.items() if value is not None}

    def to_frame(self) -> "pandas.DataFrame":
        """Return a pandas table: a line per arm, seed and epoch, also with config and facts."""
        import pandas

        lines = [
            {"arm": r.arm, "seed": r.seed, "status": r.status, **r.config, **r.facts, **row}
            for r in self.runs
            for row in r.rows or [{}]
        ]
        return pandas.DataFrame(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain nested dicts and lists."""
        return asdict(self)

    def to_columns(self) -> dict[str, Any]:
        """Return the record as to_dict, but with each run's rows as one list per key.

        Config and facts stand once for each arm, under `shared`, and in a run where they differ.
        Files written so have about half the size, or less where rows are few.
        """
        content = plain(asdict(self))
        shared = content["shared"] = {}
        for run in content["runs"]:
            run["rows"] = columns(run["rows"])
            first = shared.setdefault(run["key"], {name: run[name] for name in SHARED})
            for name in SHARED:
                if run[name] == first[name]:
                    del run[name]
        return content

    @classmethod
    def from_dict(cls, content: Any, where: str = "this") -> "Experiment":
        """Make an experiment from what to_dict gave; unknown newer fields are left out.

        Raises:
            ValueError: the content is no record, or of a later schema.
        """
        schema = content.get("schema") if isinstance(content, dict) else None
        if not isinstance(schema, int) or not isinstance(content.get("runs"), list):
            raise ValueError(
                f"{where} is not an Experiment: no `schema` number or no list of `runs`"
            )
        if schema > SCHEMA:
            raise ValueError(
                f"schema {schema} of {where} is newer than this code's {SCHEMA}: update"
            )
        runs = [
            Run.from_dict(_whole(run, content.get("shared")), f"{where}, run {i}")
            for i, run in enumerate(content["runs"])
        ]
        return _build(cls, {**content, "runs": runs, "schema": SCHEMA}, where)


def _whole(run: Any, shared: Any) -> Any:
    """Return a run with what it shares with others of its arm."""
    if not isinstance(run, dict) or not isinstance(shared, dict):
        return run
    return {**shared.get(run.get("key"), {}), **run}


def columns(rows: list[dict[str, Any]]) -> dict[str, list] | list[dict[str, Any]]:
    """Turn rows into one list per key if all have the same keys; else return them as they are."""
    if not rows or any(list(row) != list(rows[0]) for row in rows):
        return rows
    return {key: [row[key] for row in rows] for key in rows[0]}


def _build(cls: type, content: Any, where: str) -> Any:
    try:
        return cls(**{f.name: content[f.name] for f in fields(cls) if f.name in content})
    except TypeError as error:
        raise ValueError(f"{where} is no {cls.__name__}: {error}") from None


def plain(value: Any, where: str = "record") -> Any:
    """Return the value as builtin types; NaN and infinity become None, as JSON has neither.

    Raises:
        TypeError: names the place of the first value that is no builtin (a tensor, a Path, ...).
    """
    if isinstance(value, dict):
        return {str(k): plain(v, f"{where}.{k}") for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v, f"{where}[{i}]") for i, v in enumerate(value)]
    if type(value) is float:
        return value if math.isfinite(value) else None
    if value is None or type(value) in (bool, int, str):
        return value
    raise TypeError(
        f"{where} is of type {type(value).__name__}; a record holds builtin values only"
    )
