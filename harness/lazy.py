"""Public names that are loaded on first use, so that words and settings never pay for torch.

    if TYPE_CHECKING:                       # what editors and type checkers read
        from compress.file.pack import pack as pack

    __getattr__, __dir__ = lazily(__name__, {"pack": "compress.file.pack"})

PEP 562 calls `__getattr__` for a name that a module does not have yet.
"""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module, metadata
from typing import Any


def lazily(
    package: str, home: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` of a package.

    Args:
        package: Its name.
        home: The module of each public name; the name itself may be a module in it.
    """
    names = sorted(home)

    def get(name: str) -> Any:
        if name == "__version__" and "." not in package:
            return version()
        if name not in home:
            raise AttributeError(
                f"module {package!r} has no attribute {name!r}; it has {', '.join(names)}"
            )
        found = vars(import_module(home[name])).get(name)
        value = import_module(f"{home[name]}.{name}") if found is None else found
        setattr(sys.modules[package], name, value)
        return value

    return get, lambda: names


def version() -> str:
    """Return the version of the distribution; a bare checkout has none."""
    try:
        return metadata.version("iddl")
    except metadata.PackageNotFoundError:
        return "unknown"
