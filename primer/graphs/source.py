"""A graph from source: the syntax tree of a function is rewritten, so that it builds its graph.

    y = a @ b               y = op('matmul', a, b)
    y = a.tanh()            y = op('tanh', a)
    a > 0                   op('greater', a, 0)
    print(a)                op('print', a), and a result of the graph
    if a > 0:               test = op('greater', a, 0); before = (y,)
        y = y * a           y = op('mul', y, a); then = (y,); (y,) = before
    else: ...               ...; (y,) = choose(test, then, (y,))

The source knows what no run shows: both branches. It knows nothing of functions whose source it was
not given, and `while` has no end that could be written down.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

from primer.autodiff.overloaded import returned
from primer.graphs.graph import Graph, Node

OPERATORS = {ast.MatMult: "matmul", ast.Add: "add", ast.Mult: "mul", ast.Gt: "greater"}
METHODS = ("tanh", "exp", "sin", "total")


class Ref:
    """The number of a node; it has no operators, so that only rewritten source can use it."""

    def __init__(self, number: int):
        self.number = number


class Rewriter(ast.NodeTransformer):
    """The table above; what stands in none of its lines is refused."""

    def __init__(self):
        self.branches = 0

    def visit_BinOp(self, node):  # noqa: D102
        self.generic_visit(node)
        return _op(_name(node.op), node.left, node.right)

    def visit_Compare(self, node):  # noqa: D102
        self.generic_visit(node)
        return _op(_name(node.ops[0]), node.left, *node.comparators)

    def visit_Call(self, node):  # noqa: D102
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
            return _op(node.func.attr, node.func.value)
        known = node.func.id if isinstance(node.func, ast.Name) else None
        return _op("print", *node.args) if known == "print" else node

    def visit_While(self, node):  # noqa: D102
        raise TypeError(f"line {node.lineno}: how often `while` goes round is in no source")

    def visit_If(self, node):  # noqa: D102
        assigned = {n.id for part in (*node.body, *node.orelse) for n in ast.walk(part)
                    if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}  # fmt: skip
        names = f"({''.join(f'{name}, ' for name in sorted(assigned))})"
        self.generic_visit(node)
        k, self.branches = self.branches, self.branches + 1
        return [
            *ast.parse(f"before_{k} = {names}").body,
            ast.Assign([ast.Name(f"test_{k}", ast.Store())], node.test, lineno=node.lineno),
            *node.body,
            *ast.parse(f"then_{k} = {names}\n{names} = before_{k}").body,
            *node.orelse,
            *ast.parse(f"{names} = choose(test_{k}, then_{k}, {names})").body,
        ]


def _op(name: str, *inputs: ast.expr) -> ast.expr:
    return ast.Call(ast.Name("op", ast.Load()), [ast.Constant(name), *inputs], [])


def _name(operator: ast.AST) -> str:
    if type(operator) not in OPERATORS:
        raise TypeError(f"no rule for {type(operator).__name__}: there are {[*OPERATORS.values()]}")
    return OPERATORS[type(operator)]


def rewritten(f: Callable) -> str:
    """Return the source of the function that builds f's graph."""
    tree = Rewriter().visit(ast.parse(written(f)))
    return ast.unparse(ast.fix_missing_locations(tree))


def written(f: Callable) -> str:
    """Return the source of a function.

    Raises:
        TypeError: it has none that begins with def.
    """
    try:
        text = textwrap.dedent(inspect.getsource(f))
    except (OSError, TypeError):  # (typed where nothing keeps it, or not written in Python)
        text = ""
    if not text.startswith(("def ", "@")):
        raise TypeError(
            f"a def with its source is needed, got {f!r}: write `def f(x): return ...` in a file "
            "or a cell, or trace the function with values"
        )
    return text


def read(f: Callable, *names: str, **fixed: Any) -> Graph:
    """Rewrite a function, and run that once: its graph, for arguments of these names."""
    text = rewritten(f)
    nodes: list[Node] = []
    said: list[int] = []

    def leaf(name: str) -> Ref:
        nodes.append((name, ()))
        return Ref(len(nodes) - 1)

    def op(name: str, *inputs: Any) -> Ref:
        given = [i if isinstance(i, Ref) else leaf(repr(i)) for i in inputs]
        nodes.append((name, tuple(i.number for i in given)))
        if name == "print":
            said.append(len(nodes) - 1)
        return Ref(len(nodes) - 1)

    def choose(test: Ref, then: tuple, other: tuple) -> tuple:
        return tuple(op("select", test, a, b) for a, b in zip(then, other, strict=True))

    place = {**f.__globals__, "op": op, "choose": choose}
    exec(compile(text, f"<{f.__name__}, rewritten>", "exec"), place)
    y = place[f.__name__](*(leaf(name) for name in names), **fixed)
    return Graph(tuple(nodes), (*said, returned(y, Ref).number)).tidy()
