"""Reads pickles by an allow-list: a pickle is a program, and only known words of it are run.

Allowed are our two record classes and, for dumps of the original IDDL project, its `Experiment`
(numpy arrays in a module named `experiment`), numpy's array rebuilders and torch.device; both of
the latter become plain data here. Every other name is refused, whatever the file wants with it.
"""

import pickle
from typing import Any, BinaryIO, ClassVar

from harness.experiment import Experiment, Run, plain
from harness.names import kind_of


class LegacyExperiment:
    """Stands in for the class that the original project pickled, and runs nothing."""

    model_name_array: Any
    time_array: Any
    acc_ndarray: Any
    loss_ndarray: Any

    def __setstate__(self, state: dict[str, Any]):
        self.__dict__.update(state)

    def convert(self) -> Experiment:
        """Return our record: a run per model, all of seed 0 (it is unknown), no provenance."""
        names = [str(name) for name in self.model_name_array]
        seconds = [float(t) for t in self.time_array]
        runs = []
        for name, accuracy, loss, total in zip(
            names,
            self.acc_ndarray,
            self.loss_ndarray,
            seconds,
            strict=True,
        ):
            rows = [
                {"epoch": i + 1, "test_accuracy": float(a), "test_loss": float(e)}
                for i, (a, e) in enumerate(zip(accuracy, loss, strict=True))
            ]
            runs.append(Run(name, 0, name, {}, rows, {"total_time": total}, provenance="original"))
        note = {
            "original": {"note": "dump of the original IDDL project: one unseeded run per model"}
        }
        return Experiment("mlp", "original", "the original project's dump", runs, note)


def _device(*_args) -> str:
    """Stand in for torch.device in old dumps; where they ran no longer matters."""
    return "device"


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """Turn a text into bytes, which is how pickles of protocol 2 spell bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the codec {encoding}, not an allowed name")
    return text.encode("latin1")


def _numpy_names() -> dict[tuple[str, str], Any]:
    import numpy as np

    core: Any = getattr(np, "_core", None) or np.core
    names = {("numpy", "ndarray"): np.ndarray, ("numpy", "dtype"): np.dtype}
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        names[module, "_reconstruct"] = core.multiarray._reconstruct
        names[module, "scalar"] = core.multiarray.scalar
    return names


class _StandIn:
    """Stands for one of our records while it is read: a class made for this file alone.

    A pickle may set attributes of the classes that it names; of these, nobody else has any.
    """

    def __setstate__(self, state: dict[str, Any]):
        self.__dict__.update(state)


def _stand_in(kind: Any) -> type:
    return type(kind.__name__, (_StandIn,), {})


def _fresh(function: Any) -> Any:
    return lambda *args, **options: function(*args, **options)


class _Restricted(pickle.Unpickler):
    records: ClassVar[dict] = {
        ("harness.experiment", "Experiment"): Experiment,
        ("harness.experiment", "Run"): Run,
        ("experiment", "Experiment"): LegacyExperiment,
    }
    words: ClassVar[dict] = {
        ("torch", "device"): _device,
        ("_codecs", "encode"): _encode,
        # How protocol 2 and older write "make an empty object of this class".
        ("copy_reg", "_reconstructor"): lambda cls, *_: cls.__new__(cls),
        ("copyreg", "_reconstructor"): lambda cls, *_: cls.__new__(cls),
        ("builtins", "object"): object,
        ("__builtin__", "object"): object,
    }

    def __init__(self, file: BinaryIO):
        super().__init__(file)
        self.made: dict[tuple[str, str], Any] = {}

    def find_class(self, module_name: str, global_name: str) -> Any:
        name = module_name, global_name
        if name in self.records:
            return self.made.setdefault(name, _stand_in(self.records[name]))
        if module_name.split(".")[0] == "numpy" and name in _numpy_names():
            return _numpy_names()[name]
        if name not in self.words:
            raise pickle.UnpicklingError(
                f"it asks for {module_name}.{global_name}, not an allowed name"
            )
        word = self.words[name]
        return word if isinstance(word, type) else _fresh(word)


def _content(value: Any) -> Any:
    """Return a value with its stand-ins as dicts."""
    if isinstance(value, _StandIn):
        value = dict(vars(value))
    if isinstance(value, dict):
        return {k: _content(v) for k, v in value.items()}
    return [_content(v) for v in value] if isinstance(value, list | tuple) else value


def restricted_load(file: BinaryIO, name: str) -> Experiment:
    """Read a pickled record by the allow-list, and convert old dumps.

    Raises:
        ValueError: the file is damaged or asks for a name outside the list; nothing was run.
    """
    try:
        reader = _Restricted(file)
        record = reader.load()
        kinds = {made: name for name, made in reader.made.items()}
        kind = reader.records.get(kinds.get(type(record), ("", "")))
        if kind is LegacyExperiment:
            old = LegacyExperiment()
            old.__setstate__(dict(vars(record)))
            return LegacyExperiment.convert(old)
        if kind is not Experiment:
            raise TypeError(f"it holds {kind_of(record)}, expected an Experiment")
        return Experiment.from_dict(plain(_content(record)))
    except Exception as error:  # a damaged pickle can raise anything; none of it is our bug
        reason = f"{error}" or type(error).__name__
        raise ValueError(
            f"{name} is not a record that can be trusted: {reason}. Nothing in it was run; "
            "the same record as .json beside it is safe to read"
        ) from None


def restricted_array(file: BinaryIO, name: str) -> list[Any]:
    """Read a pickled numpy array by the allow-list as a list of builtin values.

    Raises:
        ValueError: as restricted_load.
    """
    import numpy as np

    try:
        found = _Restricted(file).load()
        if type(found) is not np.ndarray or found.dtype.kind not in "biufU":
            raise TypeError(f"it holds {kind_of(found)}, expected an array")
        return found.tolist()
    except Exception as error:
        raise ValueError(
            f"{name} is not an array that can be trusted: {error}. Nothing in it was run"
        ) from None


class _Plain(pickle.Unpickler):
    """Reads plain values: a pickle that names anything at all is refused."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}")


def restricted_plain(file: BinaryIO, name: str) -> Any:
    """Read pickled builtin values; names of classes and functions are refused, all of them.

    Raises:
        ValueError: as restricted_load.
    """
    try:
        return _Plain(file).load()
    except Exception as error:  # a damaged pickle can raise anything
        raise ValueError(
            f"{name} holds no plain values that can be trusted: {error}. Nothing in it was run"
        ) from None
