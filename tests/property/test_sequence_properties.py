"""Random layers on random sequences: against the oracle, native path against Python loop, and invariants.

Sizes go from 1 to 70 units, so that every remainder of every vector width occurs; inputs and states come with
random strides. The numbers come from a seeded generator, which keeps hypothesis busy with structure.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import reference
import tolerance
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rnnpack import RNN, GRUCell, LSTMCell, PeepholeLSTMCell, ProjectedLSTMCell, SimpleRNNCell

# `isa` and `monkeypatch` are the same for every example of a test.
CHECKED = settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)

KINDS = {
    "simple_rnn": SimpleRNNCell,
    "lstm": LSTMCell,
    "gru": GRUCell,
    "gru_reset_before": GRUCell,
    "peephole_lstm": PeepholeLSTMCell,
    "projected_lstm": ProjectedLSTMCell,
}
OWN = {cell: type("Own" + cell.__name__, (cell,), {}) for cell in set(KINDS.values())}
STATES = {kind: 2 if "lstm" in kind else 1 for kind in KINDS}
BOUNDED = ("tanh", "sigmoid", "hard_sigmoid", "softsign")
GATES = ("sigmoid", "hard_sigmoid")
# A wrong column, gate, row or step moves some value by more than this; a bound above it would prove nothing.
MEANINGFUL = 0.02


@dataclasses.dataclass(frozen=True)
class CellSpec:
    """One cell of a stack."""

    kind: str
    units: int
    use_bias: bool
    activation: str
    recurrent_activation: str
    projection_units: int = 3  # of projected_lstm only

    @property
    def state_sizes(self):
        """Width of each state."""
        h = self.projection_units if self.kind == "projected_lstm" else self.units
        return [h, self.units][: STATES[self.kind]]

    def make(self, dtype, own):
        """The cell, or a trivial subclass of it, which runs on the Python loop."""
        cell = OWN[KINDS[self.kind]] if own else KINDS[self.kind]
        kwargs = {"activation": self.activation, "use_bias": self.use_bias, "dtype": dtype}
        if self.kind != "simple_rnn":
            kwargs["recurrent_activation"] = self.recurrent_activation
        if self.kind.startswith("gru"):
            kwargs["reset_after"] = self.kind == "gru"
        if self.kind == "projected_lstm":
            kwargs["projection_units"] = self.projection_units
        return cell(self.units, **kwargs)


@dataclasses.dataclass(frozen=True)
class Case:
    """A layer, its flags, the sizes of a call and how its arrays lie in memory."""

    cells: tuple[CellSpec, ...]
    dtype: str
    batch: int
    steps: int
    features: int
    return_sequences: bool
    go_backwards: bool
    time_major: bool
    zero_output_for_mask: bool
    unroll: bool
    mask: str
    with_states: bool
    layout: str
    seed: int

    def layer(self, own=False):
        """The layer, built, with random weights that keep the states of order one."""
        cells = [c.make(self.dtype, own) for c in self.cells]
        names = ("return_sequences", "go_backwards", "time_major", "zero_output_for_mask", "unroll")
        flags = {name: getattr(self, name) for name in names}
        made = RNN(cells if len(cells) > 1 else cells[0], return_state=True, dtype=self.dtype, **flags)
        made.build((None, None, self.features))
        generator = np.random.default_rng(self.seed)
        weights = []
        for w in made.get_weights():
            # Wide cells get small weights: states stay of order one and the error bounds tight (MEANINGFUL).
            scale = 0.3 / np.sqrt(w.shape[0]) if w.ndim == 2 and w.shape[0] > 2 else 0.5
            weights.append((scale * generator.standard_normal(w.shape)).astype(self.dtype))
        made.set_weights(weights)
        return made

    def inputs(self):
        """`(x, mask, states)`; x and mask are time-major when the layer is."""
        generator = np.random.default_rng(self.seed + 1)
        lead = (self.steps, self.batch) if self.time_major else (self.batch, self.steps)
        x = laid_out(generator.standard_normal((*lead, self.features)).astype(self.dtype), self.layout)
        mask = masks(self.mask, self.batch, self.steps, generator)
        if mask is not None and self.time_major:
            mask = mask.T
        states = None
        if self.with_states:
            sizes = [size for c in self.cells for size in c.state_sizes]
            draws = [generator.standard_normal((self.batch, n)).astype(self.dtype) for n in sizes]
            states = [laid_out(d, self.layout) for d in draws]
        return x, mask, states

    def nested(self, states):
        """Flat states in the structure that the layer takes."""
        if states is None or len(self.cells) == 1:
            return states
        rest, nest = list(states), []
        for cell in self.cells:
            taken, rest = rest[: STATES[cell.kind]], rest[STATES[cell.kind] :]
            nest.append(taken if len(taken) > 1 else taken[0])
        return nest

    def call(self, layer, mask="own", rows=None):
        """Run the layer on this case's arrays: `[y, *flat states]`."""
        x, own_mask, states = self.inputs()
        mask = own_mask if isinstance(mask, str) else mask
        if rows is not None:
            axis = 1 if self.time_major else 0
            x = np.take(x, rows, axis)
            mask = None if mask is None else np.take(mask, rows, axis)
            states = None if states is None else [s[rows] for s in states]
        y, *final = layer(x, initial_state=self.nested(states), mask=mask)
        return [y, *[a for s in final for a in (s if isinstance(s, list) else [s])]]

    def oracle(self, layer):
        """Values with error bounds: `[y, *flat states]`."""
        x, mask, states = self.inputs()
        weights, cells = layer.get_weights(), []
        for spec in self.cells:
            own = {"peephole_lstm": 3, "projected_lstm": 1}.get(spec.kind, 0)
            count = (3 if spec.use_bias else 2) + own
            taken, weights = [w.astype("float64") for w in weights[:count]], weights[count:]
            bias = taken[2] if spec.use_bias else None
            names = (spec.activation, spec.recurrent_activation)
            cells.append(reference.CELLS[spec.kind](taken[0], taken[1], bias, *names, *taken[count - own :]))
        names = ("return_sequences", "go_backwards", "time_major", "zero_output_for_mask")
        want = tolerance.run(
            reference.Layer(tuple(cells), **{name: getattr(self, name) for name in names}),
            x,
            mask,
            states,
            dtype=self.dtype,
        )
        return [want.output, *want.states]


def laid_out(a, layout):
    """The same numbers with other strides."""
    if layout == "reversed":
        every = (slice(None, None, -1),) * a.ndim
        return a[every].copy()[every]
    if layout == "fortran":
        return np.asfortranarray(a)
    if layout == "gaps":
        big = np.full([2 * n + 1 for n in a.shape], np.nan, a.dtype)
        view = big[(slice(1, None, 2),) * a.ndim]
        view[...] = a
        return view
    if layout == "swapped":
        return a.astype(a.dtype.newbyteorder())
    if layout == "misaligned":
        view = np.empty(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
        view[...] = a
        return view
    return a


def masks(kind, batch, steps, generator):
    """A bool mask `(batch, steps)` or None."""
    lengths = generator.integers(0, steps + 1, (batch, 1))
    return {
        "none": lambda: None,
        "all": lambda: np.ones((batch, steps), bool),
        "nothing": lambda: np.zeros((batch, steps), bool),
        "right": lambda: np.arange(steps) < lengths,
        "left": lambda: np.arange(steps)[::-1] < lengths,
        "holes": lambda: generator.random((batch, steps)) < 0.6,
    }[kind]()


def cell_specs(activations):
    """Strategy of single cells."""
    return st.builds(
        CellSpec,
        kind=st.sampled_from(sorted(KINDS)),
        units=st.integers(1, 70),
        use_bias=st.booleans(),
        activation=activations,
        recurrent_activation=st.sampled_from(GATES),
        projection_units=st.integers(1, 70),
    )


def cases(activations=None, cells=3):
    """Strategy of cases; `activations` as None means bounded ones."""
    activations = st.sampled_from(BOUNDED) if activations is None else activations
    return st.builds(
        Case,
        cells=st.lists(cell_specs(activations), min_size=1, max_size=cells).map(tuple),
        dtype=st.sampled_from(["float32", "float64"]),
        batch=st.integers(1, 9),
        steps=st.integers(1, 5),
        features=st.integers(1, 70),
        return_sequences=st.booleans(),
        go_backwards=st.booleans(),
        time_major=st.booleans(),
        zero_output_for_mask=st.booleans(),
        unroll=st.booleans(),
        mask=st.sampled_from(["none", "all", "nothing", "right", "left", "holes"]),
        with_states=st.booleans(),
        layout=st.sampled_from(["plain", "reversed", "fortran", "gaps", "swapped", "misaligned"]),
        seed=st.integers(0, 2**16),
    )


def assert_within(got, want, dtype):
    """Every array within its running error bound, plus one smallest normal number for flushed denormals."""
    tiny = np.finfo(dtype).tiny
    for array, bounded in zip(got, want, strict=True):
        assert array.dtype == np.dtype(dtype)
        assert tolerance.excess(array, bounded.value, bounded.error + tiny) <= 1
        assert bounded.error.max() <= MEANINGFUL * max(1, np.abs(bounded.value).max())


def same_bits(first, second):
    """Two results are equal bit for bit."""
    assert [np.ascontiguousarray(a).tobytes() for a in first] == [
        np.ascontiguousarray(a).tobytes() for a in second
    ]


@CHECKED
@given(case=cases())
def test_native_layers_against_the_oracle(isa, case):
    layer = case.layer()
    got = case.call(layer)
    found = layer.explain()
    assert found.native
    assert found.isa == isa
    assert_within(got, case.oracle(layer), case.dtype)


@CHECKED
@given(case=cases(st.sampled_from(reference.ELEMENTWISE), cells=1))
def test_every_activation_against_the_oracle(isa, case):
    """One cell and few steps: unbounded activations may grow, and the error bound grows with them."""
    # Two steps of exponentials of exponentials overflow.
    limit = 1 if case.cells[0].activation == "exponential" else 3
    case = dataclasses.replace(case, steps=min(case.steps, limit))
    layer = case.layer()
    assert layer.explain().isa == isa
    assert_within(case.call(layer), case.oracle(layer), case.dtype)


@settings(CHECKED, max_examples=70)
@given(case=cases())
def test_python_loop_against_the_oracle(case):
    layer = case.layer(own=True)
    assert not layer.explain().native
    assert_within(case.call(layer), case.oracle(layer), case.dtype)


@CHECKED
@given(case=cases())
def test_native_path_equals_python_loop(isa, case):
    """Both are within the bound of the oracle, so they differ by at most twice that."""
    native, python = case.layer(), case.layer(own=True)
    assert native.explain().isa == isa
    assert not python.explain().native
    tiny = np.finfo(case.dtype).tiny
    for a, b, bound in zip(case.call(native), case.call(python), case.oracle(native), strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        assert tolerance.excess(a, b, 2 * bound.error + tiny) <= 1


@CHECKED
@given(case=cases())
def test_an_all_true_mask_equals_no_mask_bit_for_bit(isa, case):
    layer = case.layer()
    shape = (case.steps, case.batch) if case.time_major else (case.batch, case.steps)
    same_bits(case.call(layer, mask=np.ones(shape, bool)), case.call(layer, mask=None))


@CHECKED
@given(case=cases(), data=st.data())
def test_permuting_the_rows_permutes_the_results_bit_for_bit(isa, case, data):
    layer = case.layer()
    order = data.draw(st.permutations(range(case.batch)))
    want = case.call(layer)
    got = case.call(layer, rows=order)
    axis = 1 if case.time_major and case.return_sequences else 0
    same_bits([got[0], *got[1:]], [np.take(want[0], order, axis), *[s[order] for s in want[1:]]])


@CHECKED
@given(case=cases(), data=st.data())
def test_a_row_alone_gives_the_same_bits_as_in_a_batch(isa, case, data):
    layer = case.layer()
    row = data.draw(st.integers(0, case.batch - 1))
    axis = 1 if case.time_major and case.return_sequences else 0
    want = case.call(layer)
    got = case.call(layer, rows=[row])
    same_bits(got, [np.take(want[0], [row], axis), *[s[[row]] for s in want[1:]]])


@CHECKED
@given(case=cases())
def test_memory_layout_never_changes_a_bit(isa, case):
    layer = case.layer()
    same_bits(case.call(layer), dataclasses.replace(case, layout="plain").call(layer))


@CHECKED
@given(case=cases())
def test_time_major_and_unroll_never_change_a_bit(isa, case):
    layer = case.layer()
    got = case.call(layer)
    other = dataclasses.replace(case, unroll=not case.unroll)
    same_bits(got, other.call(other.layer()))


@settings(CHECKED, max_examples=70)
@given(case=cases())
def test_masked_inputs_do_not_matter(case):
    """Whatever stands at masked steps, NaN included, the result has the same bits."""
    layer = case.layer()
    x, mask, states = case.inputs()
    if mask is None:
        mask = np.ones(x.shape[:2], bool)
    dirty = np.where(mask[..., None], x, np.nan).astype(case.dtype)

    def run(inputs):
        y, *final = layer(inputs, initial_state=case.nested(states), mask=mask)
        return [y, *[a for s in final for a in (s if isinstance(s, list) else [s])]]

    same_bits(run(dirty), run(x))


@settings(CHECKED, max_examples=70)
@given(case=cases())
def test_go_backwards_equals_the_reversed_input(case):
    layer, other = case.layer(), dataclasses.replace(case, go_backwards=not case.go_backwards).layer()
    x, mask, states = case.inputs()
    axis = 0 if case.time_major else 1
    flipped = np.flip(x, axis), None if mask is None else np.flip(mask, axis)
    y, *final = layer(x, initial_state=case.nested(states), mask=mask)
    z, *ends = other(flipped[0], initial_state=case.nested(states), mask=flipped[1])
    same_bits([y], [z])
    for a, b in zip(final, ends, strict=True):
        same_bits(a if isinstance(a, list) else [a], b if isinstance(b, list) else [b])


@settings(CHECKED, max_examples=70)
@given(case=cases(), cut=st.integers(1, 6))
def test_a_stateful_layer_continues_where_the_last_call_ended(case, cut):
    case = dataclasses.replace(
        case, go_backwards=False, time_major=False, with_states=False, steps=case.steps + 1
    )
    cut = min(cut, case.steps - 1)
    layer = case.layer()
    x, mask, _ = case.inputs()
    masks_of = (None, None) if mask is None else (mask[:, :cut], mask[:, cut:])
    stateful = type(layer)(layer.cell, return_state=True, stateful=True, unroll=case.unroll, dtype=case.dtype)
    stateful(x[:, :cut], mask=masks_of[0])
    _, *final = stateful(x[:, cut:], mask=masks_of[1])
    flat = [a for s in final for a in (s if isinstance(s, list) else [s])]
    assert_within(flat, case.oracle(layer)[1:], case.dtype)


def test_the_instruction_set_is_really_forced(isa):
    case_cell = CellSpec("lstm", 5, True, "tanh", "sigmoid")
    layer = RNN(case_cell.make("float32", own=False))
    layer.build((None, None, 3))
    layer(np.zeros((1, 1, 3), "float32"))
    assert layer.explain().isa == isa


@pytest.mark.parametrize("units", [*range(1, 18), 23, 24, 25, 31, 32, 33, 47, 48, 49, 63, 64, 65, 70])
def test_every_remainder_of_every_vector_width(isa, units):
    for kind, dtype in [(k, d) for k in KINDS for d in ("float32", "float64")]:
        case = Case(
            cells=(CellSpec(kind, units, True, "tanh", "sigmoid", 1 + (3 * units) % 70),),
            dtype=dtype,
            batch=1 + units % 7,
            steps=2,
            features=1 + units % 9,
            return_sequences=True,
            go_backwards=False,
            time_major=False,
            zero_output_for_mask=False,
            unroll=False,
            mask="none",
            with_states=True,
            layout="plain",
            seed=units,
        )
        layer = case.layer()
        assert layer.explain().isa == isa
        assert_within(case.call(layer), case.oracle(layer), dtype)
