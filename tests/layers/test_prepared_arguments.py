"""Prepared calls take every argument, and refuse every one, as first calls do."""

from __future__ import annotations

import numpy as np
import pytest
from contract.contract_cells import bits, randomise
from contract.contract_oracle import flatten
from prepared_cases import B, F, T, U, X, fresh, lstm, prepared, same

from rnnpack import GRU, LSTM, RNN, GRUCell, LSTMCell, SimpleRNN

MAKE = {
    "lstm": lambda **k: LSTM(U, **k),
    "gru": lambda **k: GRU(U, **k),
    "simple": lambda **k: SimpleRNN(U, **k),
    "stack": lambda **k: RNN([LSTMCell(U), GRUCell(U)], **k),
}
STATE = np.full((B, U), 0.5, "f")
GOOD = {
    "nothing else": lambda x: ((x,), {}),
    "None": lambda x: ((x, None, None), {"mask": None, "training": None}),
    "training": lambda x: ((x,), {"training": True}),
    "inference": lambda x: ((x,), {"training": False}),
    "a mask": lambda x: ((x,), {"mask": np.arange(T) < np.array([[2], [0], [5]])}),
    "a mask of numbers": lambda x: ((x,), {"mask": np.ones((B, T), int)}),
    "a list of one": lambda x: (([x],), {}),
    "float64": lambda x: ((x.astype("f8"),), {}),
    "integers": lambda x: ((np.rint(x).astype(int),), {}),
    "swapped bytes": lambda x: ((x.astype(x.dtype.newbyteorder()),), {}),
    "Fortran": lambda x: ((np.asfortranarray(x),), {}),
    "negative strides": lambda x: ((x[::-1, ::-1],), {}),
    "gaps": lambda x: ((np.repeat(x, 2, axis=2)[..., ::2],), {}),
    "misaligned": lambda x: ((np.frombuffer(b"\0" + x.tobytes(), "u1")[1:].view("f").reshape(x.shape),), {}),
    "read only": lambda x: ((np.frombuffer(x.tobytes(), "f").reshape(x.shape),), {}),
    "one row": lambda x: ((x[:1],), {}),
    "no row": lambda x: ((x[:0],), {}),
    "one step": lambda x: ((x[:, :1],), {}),
    "more steps": lambda x: ((np.repeat(x, 300, axis=1),), {}),
    "a subclass": lambda x: ((x.view(type("Own", (np.ndarray,), {})),), {}),
    "a masked array": lambda x: ((np.ma.masked_array(x),), {}),
    "rows": lambda x: (([x[0], x[1, :2]],), {}),
}
STATES = {
    "one state": (GOOD["nothing else"], lambda s: s),
    "float64 states": (GOOD["nothing else"], lambda s: s.astype("f8")),
    "integer states": (GOOD["nothing else"], lambda s: np.ones(s.shape, int)),
    "strided states": (GOOD["nothing else"], lambda s: np.asfortranarray(s)),
    "states with gaps": (GOOD["nothing else"], lambda s: np.repeat(s, 2, axis=0)[::2]),
    "states and a mask": (GOOD["a mask"], lambda s: s),
}


def attempt(layer, args, kwargs):
    """The result of a call, as values that can be compared, or its error."""
    try:
        result = layer(*args, **kwargs)
    except Exception as error:
        return type(error), str(error)
    masks = [getattr(a, "_keras_mask", None) is None for a in flatten([result])]
    return type(result), masks, [(type(a), a.shape, a.dtype, bits(a)) for a in flatten([result])]


def states_for(name, change):
    """States in the form that the layer takes."""
    pair = [change(STATE), change(2 * STATE)]
    return {"lstm": pair, "gru": pair[:1], "simple": pair[0], "stack": [pair, pair[0]]}[name]


@pytest.mark.parametrize("flags", [{}, {"return_sequences": True, "return_state": True}], ids=["last", "all"])
@pytest.mark.parametrize("case", [*GOOD, *STATES])
@pytest.mark.parametrize("name", MAKE)
def test_prepared_calls_give_what_first_calls_give(name, case, flags):
    layer = MAKE[name](**flags)
    weights = randomise(layer, (None, None, F))
    prepared(layer)
    arguments, change = STATES.get(case, (GOOD.get(case), None))
    args, kwargs = arguments(X)
    if change is not None:
        kwargs["initial_state"] = states_for(name, change)
    results = []
    for target in (MAKE[name](weights=weights, **flags), layer, layer):
        results.append(attempt(target, args, kwargs))
    assert not issubclass(results[0][0], Exception)
    assert results[0] == results[1] == results[2]


BAD = {
    "features": lambda: ((X[..., :2],), {}),
    "two axes": lambda: ((X[0],), {}),
    "four axes": lambda: ((X[None],), {}),
    "no timestep": lambda: ((X[:, :0],), {}),
    "no array": lambda: ((3.0,), {}),
    "None": lambda: ((None,), {}),
    "a list of numbers": lambda: ((X.tolist(),), {}),
    "complex numbers": lambda: ((X.astype(complex),), {}),
    "objects": lambda: ((X.astype(object),), {}),
    "strings": lambda: ((X.astype(str),), {}),
    "two inputs": lambda: (((X, X),), {}),
    "a mask of another length": lambda: ((X,), {"mask": np.ones((B, T + 1), bool)}),
    "a mask of one row": lambda: ((X,), {"mask": np.ones((1, T), bool)}),
    "a mask of lists": lambda: ((X,), {"mask": [[True] * T] * B}),
    "three states": lambda: ((X, [STATE] * 3), {}),
    "no states": lambda: ((X, []), {}),
    "states of one row": lambda: ((X, [STATE[:1], STATE]), {}),
    "states of other units": lambda: ((X, [STATE, STATE[:, :2]]), {}),
    "states of three axes": lambda: ((X, [STATE[None], STATE]), {}),
    "complex states": lambda: ((X, [STATE, STATE.astype(complex)]), {}),
    "a state that is a list": lambda: ((X, [STATE, STATE.tolist()]), {}),
    "states twice": lambda: (([X, STATE, STATE], [STATE, STATE]), {}),
    "an unknown keyword": lambda: ((X,), {"other": 1}),
    "constants": lambda: ((X,), {"constants": [STATE]}),
    "too many arguments": lambda: ((X, None, None, None), {}),
    "no arguments": lambda: ((), {}),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("return_state", [False, True])
def test_errors_are_those_of_the_first_call(case, return_state):
    layer = lstm(name="one", return_state=return_state)
    weights, result = [bits(w) for w in layer.get_weights()], layer(X)
    first = fresh(name="one", return_state=return_state)
    first.build((None, None, F))
    results = [attempt(target, *BAD[case]()) for target in (first, layer, layer)]
    assert issubclass(results[0][0], (ValueError, TypeError, AssertionError))
    assert results[0] == results[1] == results[2]
    assert [bits(w) for w in layer.get_weights()] == weights
    same(layer(X), result)


def test_results_are_new_arrays():
    layer = lstm(return_sequences=True, return_state=True)
    results = [layer(X) for _ in range(3)]
    arrays = [a for result in results for a in flatten(result)]
    for i, a in enumerate(arrays):
        assert a.flags.writeable
        assert not any(np.shares_memory(a, b) for b in (X, *arrays[:i]))
    arrays[0][:] = 7
    same(layer(X), results[1])
