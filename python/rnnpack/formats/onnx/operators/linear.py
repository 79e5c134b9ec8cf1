"""Matrix products."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack.formats.onnx.limits import check_broadcast, check_size, surely_small
from rnnpack.formats.onnx.node import MANY, Function, Node, operator

Array = NDArray[Any]


@operator("MatMul", inputs=2, foldable=False)
def _mat_mul(node: Node) -> Function:
    def run(a: Array, b: Array) -> Any:
        if a.ndim > 1 and b.ndim > 1 and not surely_small(a, b):
            lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
            check_size((*lead, a.shape[-2], b.shape[-1]), a, b)
        return np.matmul(a, b)

    return run


@operator("Gemm", inputs=(2, 3), foldable=False)
def _gemm(node: Node) -> Function:
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    turn_a, turn_b = node.flag("transA"), node.flag("transB")

    def run(a: Array, b: Array, c: Array | None = None) -> Any:
        if a.ndim != 2 or b.ndim != 2:
            raise ValueError(f"expected matrices, got shapes {a.shape} and {b.shape}")
        a, b = a.T if turn_a else a, b.T if turn_b else b
        check_size((a.shape[0], b.shape[1]), a, b)
        product = a @ b
        if alpha != 1:
            product *= a.dtype.type(alpha)
        if c is None or beta == 0:
            return product
        check_broadcast(product, c)
        # Not in place: C may be larger only by an error, which this shows.
        return product + (c if beta == 1 else a.dtype.type(beta) * c)

    return run


@operator("Einsum", inputs=(1, MANY), since=12, foldable=False)
def _einsum(node: Node) -> Function:
    equation = node.text("equation", "").replace(" ", "")
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    letters = set("".join(terms).replace("...", ""))
    if not all(letter.isalpha() and letter.isascii() for letter in letters) or len(terms) != len(node.inputs):
        raise node.error(f"the equation {equation!r} does not fit {len(node.inputs)} inputs")

    def run(*arrays: Array) -> Any:
        sizes: dict[str, int] = {}
        rank = 1
        for term, array in zip(terms, arrays, strict=True):
            named = term.replace("...", "")
            if "..." in term:
                rank *= max(1, int(np.prod(array.shape[: max(0, array.ndim - len(named))])))
            elif len(named) != array.ndim:
                raise ValueError(f"{term!r} of {equation!r} does not fit shape {array.shape}")
            if "..." not in term:
                for letter, size in zip(named, array.shape, strict=True):
                    sizes[letter] = max(size, sizes.get(letter, 0))
        wanted = right if arrow else "".join(sorted(letters))
        check_size([rank, *(sizes.get(letter, 1) for letter in set(wanted) & letters)], *arrays)
        # Pairwise, so that three matrices are two products and not one loop over all indices.
        return np.einsum(equation, *arrays, optimize="greedy" if len(arrays) > 1 else False)

    return run
