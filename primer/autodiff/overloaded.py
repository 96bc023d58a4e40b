"""Values that take part in ordinary expressions, and leave to a subclass what an operation does."""

from typing import Any, TypeVar

MISSING = (
    "there are @, +, *, .tanh(), .exp(), .sin() and .total(), and none of -, / and **: "
    "write a + -1.0 * b, or a * a"
)
Kind = TypeVar("Kind")


class Overloaded:
    """Operators and functions of ops.OPS; each ends in `apply(name, *inputs)`."""

    __array_ufunc__ = None  # (so that array @ value asks the value)

    def apply(self, op: str, *inputs: Any) -> Any:
        """Carry out one operation; inputs may be plain arrays."""
        raise NotImplementedError(f"{type(self).__name__} does not say what {op!r} does")

    def __matmul__(self, other):
        return self.apply("matmul", self, other)

    def __rmatmul__(self, other):
        return self.apply("matmul", other, self)

    def __add__(self, other):
        return self.apply("add", self, other)

    def __radd__(self, other):
        return self.apply("add", other, self)

    def __mul__(self, other):
        return self.apply("mul", self, other)

    def __rmul__(self, other):
        return self.apply("mul", other, self)

    def __gt__(self, other):
        return self.apply("greater", self, other)

    def __sub__(self, other):
        raise TypeError(MISSING)

    __rsub__ = __truediv__ = __rtruediv__ = __pow__ = __rpow__ = __sub__

    def __neg__(self):
        raise TypeError(MISSING)

    def tanh(self):
        """Return the hyperbolic tangent of each entry."""
        return self.apply("tanh", self)

    def exp(self):
        """Return e to the power of each entry."""
        return self.apply("exp", self)

    def sin(self):
        """Return the sine of each entry."""
        return self.apply("sin", self)

    def total(self):
        """Return the sum of all entries."""
        return self.apply("total", self)


def returned(y: Any, kind: type[Kind]) -> Kind:
    """Return what a function gave back, where that was computed from its arguments.

    Raises:
        TypeError: it was not, so there is nothing to derive, and no graph.
    """
    if not isinstance(y, kind):
        raise TypeError(
            f"the function returns {type(y).__name__} {y!r}, which is not computed from its "
            f"arguments: return one of these, such as (x * x).total(), a {kind.__name__}"
        )
    return y
