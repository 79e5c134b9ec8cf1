"""Weights: named, versioned, read-only NumPy arrays that are replaced, never written into."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from rnnpack import _core


def _binary(op: Callable[[Any, Any], Any]) -> Callable[[Variable, Any], Any]:
    def method(self: Variable, other: Any) -> Any:
        return op(self._operand, other)

    return method


def _reflected(op: Callable[[Any, Any], Any]) -> Callable[[Variable, Any], Any]:
    def method(self: Variable, other: Any) -> Any:
        return op(other, self._operand)

    return method


def _unary(op: Callable[[Any], Any]) -> Callable[[Variable], Any]:
    def method(self: Variable) -> Any:
        return op(self._operand)

    return method


class Variable:
    """A weight of a layer.

    The value is an immutable snapshot: every change makes a new array, swaps it in and increases `version`,
    so an array handed out earlier never changes and caches only compare versions. Any number of threads may
    read while one thread writes: `version` is increased after the swap, so whoever reads `version` first and
    the array second never files an old array under a new version.

    Operators, `np.asarray` and indexing see `operand`; with a `compute_dtype` (mixed precision) that is the
    value cast to it, while `value`, `numpy()` and `dtype` are the stored ones. Comparisons are element-wise;
    hashing is by identity, so variables can be keys but `in` on a list of them does not work.

    Args:
        value: initial value, anything `np.asarray` takes; copied.
        name: used in messages and file formats.
        dtype: stored dtype, default that of `value`.
        trainable: whether an optimizer may change it.
        constraint: callable applied by optimizers after an update, kept only.
        regularizer: callable giving the variable's penalty, kept only.
        compute_dtype: dtype computations see, default `dtype`.

    Raises:
        ValueError: `value` is not numeric or cannot be cast to `dtype`.
    """

    # Makes `ndarray @ variable` call our reflected operator instead of building an object array.
    __array_priority__ = 100.0

    def __init__(
        self,
        value: Any,
        name: str = "Variable",
        dtype: DTypeLike | None = None,
        trainable: bool = True,
        constraint: Callable[[Any], Any] | None = None,
        regularizer: Callable[[Any], Any] | None = None,
        compute_dtype: DTypeLike | None = None,
    ) -> None:
        self.name = name
        self.trainable = trainable
        self.constraint = constraint
        self.regularizer = regularizer
        given = self._as_array(value)
        self.dtype = np.dtype(given.dtype if dtype is None else dtype).newbyteorder("=")
        self.compute_dtype = self.dtype if compute_dtype is None else np.dtype(compute_dtype)
        self.version = 0
        self._install(self._cast(given))

    # ---- reading -------------------------------------------------------------------------------------------

    @property
    def value(self) -> NDArray[Any]:
        """The stored array, read-only; a snapshot that later assignments do not change."""
        return self._value

    @property
    def operand(self) -> NDArray[Any]:
        """The array computations use: `value` in `compute_dtype`, read-only."""
        return self._operand

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the value; fixed for the life of the variable."""
        return self._value.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._value.ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        return self._value.size

    @property
    def T(self) -> NDArray[Any]:
        """Transposed read-only view of `operand`."""
        return np.transpose(self._operand)

    def numpy(self) -> NDArray[Any]:
        """Return a writable copy of the stored value."""
        return self._value.copy()

    def astype(self, dtype: DTypeLike) -> NDArray[Any]:
        """Return a copy of `operand` cast to `dtype`."""
        return self._operand.astype(dtype)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Give NumPy the read-only `operand`, cast or copied on request (NumPy 1 and 2 protocols)."""
        array = self._operand
        if dtype is None or array.dtype == dtype:
            return array.copy() if copy else array
        if copy is False:
            raise ValueError(f"Variable '{self.name}' is {array.dtype}; {np.dtype(dtype)} needs a copy.")
        return array.astype(dtype)

    def __getitem__(self, key: Any) -> Any:
        """Index `operand`."""
        return self._operand[key]

    def __len__(self) -> int:
        """Length of the first axis."""
        return len(self._operand)

    def __bool__(self) -> bool:
        """Truth of a one-element variable; ambiguous (ValueError) otherwise, as for arrays."""
        return bool(self._operand)

    def __float__(self) -> float:
        """Value of a one-element variable."""
        return float(self._operand.item())

    def __int__(self) -> int:
        """Value of a one-element variable, truncated."""
        return int(self._operand.item())

    def __repr__(self) -> str:
        """Name, shape, dtype and value."""
        return f"<Variable '{self.name}' shape={self.shape} dtype={self.dtype}, numpy={self._value!r}>"

    __hash__ = object.__hash__

    # ---- writing -------------------------------------------------------------------------------------------

    def assign(self, value: Any) -> Variable:
        """Replace the value.

        Args:
            value: array-like of exactly this shape; copied and cast (integers and bools to any number type,
                floats to floats).

        Returns:
            This variable.

        Raises:
            ValueError: other shape, or a dtype that does not cast. The variable keeps its value.
        """
        self._replace(self._cast(self._as_array(value)))
        return self

    def assign_add(self, delta: Any) -> Variable:
        """Add `delta` (array-like of exactly this shape); rules and errors as for `assign`."""
        self._replace(self._value + self._checked_delta(delta))
        return self

    def assign_sub(self, delta: Any) -> Variable:
        """Subtract `delta` (array-like of exactly this shape); rules and errors as for `assign`."""
        self._replace(self._value - self._checked_delta(delta))
        return self

    def __setitem__(self, key: Any, value: Any) -> None:
        """Write into a copy of the value and swap the copy in; `value` broadcasts as in NumPy."""
        changed = self._value.copy()
        changed[key] = self._cast(self._as_array(value))
        self._replace(changed)

    def _as_array(self, value: Any) -> NDArray[Any]:
        try:
            return value.value if isinstance(value, Variable) else np.asarray(value)
        except (TypeError, ValueError) as error:
            kind = type(value).__name__
            raise ValueError(f"Variable '{self.name}' needs an array; got {kind}: {error}") from None

    def _cast(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return a C-contiguous copy in the stored dtype."""
        source, target = array.dtype, self.dtype
        if not (np.can_cast(source, target, "same_kind") or (source.kind in "biu" and target.kind in "iuf")):
            raise ValueError(f"Variable '{self.name}' has dtype {target}; {source} cannot be cast to it.")
        if source.kind not in "biufV" or target.kind not in "biuf":
            raise ValueError(f"Variable '{self.name}' must hold real numbers; got {source} for {target}.")
        return np.array(array, dtype=target, order="C")

    def _checked_delta(self, delta: Any) -> NDArray[Any]:
        cast = self._cast(self._as_array(delta))
        self._check_shape(cast)
        return cast

    def _check_shape(self, array: NDArray[Any]) -> None:
        if array.shape != self.shape:
            raise ValueError(f"Variable '{self.name}' has shape {self.shape}; got shape {array.shape}.")

    def _replace(self, array: NDArray[Any]) -> None:
        self._check_shape(array)
        self._install(array)
        self.version += 1
        _core.touch()  # last: whoever prepared a call before this checks it again

    def _install(self, array: NDArray[Any]) -> None:
        """Adopt an array nobody else holds."""
        array.flags.writeable = False
        self._value = array
        # Cast here, once per change, so that readers never write.
        self._operand = array.astype(self.compute_dtype, copy=False)
        self._operand.flags.writeable = False

    # NumPy drops the read-only flag on pickling and deepcopy, so both go through `_install` again.
    def __getstate__(self) -> dict[str, Any]:
        """State for pickle and deepcopy."""
        return {key: item for key, item in self.__dict__.items() if key != "_operand"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore from `__getstate__`."""
        self.__dict__.update(state)
        self._install(self._value)

    # ---- operators -----------------------------------------------------------------------------------------

    __add__, __radd__ = _binary(operator.add), _reflected(operator.add)
    __sub__, __rsub__ = _binary(operator.sub), _reflected(operator.sub)
    __mul__, __rmul__ = _binary(operator.mul), _reflected(operator.mul)
    __truediv__, __rtruediv__ = _binary(operator.truediv), _reflected(operator.truediv)
    __floordiv__, __rfloordiv__ = _binary(operator.floordiv), _reflected(operator.floordiv)
    __mod__, __rmod__ = _binary(operator.mod), _reflected(operator.mod)
    __pow__, __rpow__ = _binary(operator.pow), _reflected(operator.pow)
    __matmul__, __rmatmul__ = _binary(operator.matmul), _reflected(operator.matmul)
    __neg__, __pos__, __abs__ = _unary(operator.neg), _unary(operator.pos), _unary(operator.abs)
    __lt__, __le__ = _binary(operator.lt), _binary(operator.le)
    __gt__, __ge__ = _binary(operator.gt), _binary(operator.ge)
    __eq__, __ne__ = _binary(operator.eq), _binary(operator.ne)
