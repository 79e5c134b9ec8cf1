"""Contract §13: dropout in training.

The layers are linear with identity or zero kernels, so that each output shows the mask itself. Random masks
are tested by what must hold for every draw; the few statistical bounds are six standard deviations wide.
"""

from __future__ import annotations

import numpy as np
import pytest
from contract_cells import bits, normal

import rnnpack
from rnnpack import GRU, LSTM, RNN, Bidirectional, GRUCell, LSTMCell, SimpleRNN, SimpleRNNCell

N = 400


def linear_rnn(units, dropout=0.0, recurrent_dropout=0.0, recurrent=0.0, cell=False, **flags):
    """h' = mask_x * x + recurrent * mask_h * h."""
    args = {"activation": None, "use_bias": False, "dropout": dropout, "recurrent_dropout": recurrent_dropout}
    layer = RNN(SimpleRNNCell(units, **args), **flags) if cell else SimpleRNN(units, **args, **flags)
    layer.build((None, None, units))
    layer.set_weights([np.eye(units), recurrent * np.eye(units)])
    return layer


def ones(batch, steps, features):
    """Inputs of one."""
    return np.ones((batch, steps, features), "float32")


MAKE = {
    "lstm": lambda **k: LSTM(3, **k),
    "gru": lambda **k: GRU(3, **k),
    "simple": lambda **k: SimpleRNN(3, **k),
    "rnn lstm": lambda **k: RNN(LSTMCell(3, **k)),
    "stack": lambda **k: RNN([LSTMCell(3, **k), GRUCell(3, **k)]),
    "bidirectional": lambda **k: Bidirectional(LSTM(3, **k)),
}


@pytest.mark.parametrize("name", MAKE)
@pytest.mark.parametrize("kind", ["dropout", "recurrent_dropout"])
def test_inactive_unless_training(name, kind):
    x = normal(4, 5, 6)
    layer, plain = MAKE[name](**{kind: 0.5}), MAKE[name]()
    want = layer(x)
    plain(x)
    plain.set_weights(layer.get_weights())
    for kwargs in ({}, {"training": False}, {"training": None}):
        np.testing.assert_allclose(
            layer(x, **kwargs), plain(x), rtol=0, atol=5 * 9 * 4 * np.finfo("float32").eps
        )
        assert bits(layer(x, **kwargs)) == bits(want)
    assert bits(layer(x, training=True)) != bits(want)


@pytest.mark.parametrize("name", MAKE)
def test_zero_rates_draw_no_mask(name):
    x = normal(4, 5, 6)
    layer = MAKE[name](dropout=0.0, recurrent_dropout=0.0)
    np.testing.assert_array_equal(layer(x, training=True), layer(x, training=False))


def test_scaling_is_inverted():
    y = linear_rnn(N, dropout=0.75)(ones(1, 1, N), training=True)
    assert set(np.unique(y)) == {0.0, 4.0}
    # 400 draws with P(kept) = 1/4: standard deviation sqrt(400 * 3 / 16) = 8.7.
    assert abs(int((y > 0).sum()) - N // 4) < 6 * 8.7


@pytest.mark.parametrize("cell", [False, True])
def test_one_input_mask_per_call_is_reused_over_all_timesteps(cell):
    y = linear_rnn(N, dropout=0.5, cell=cell, return_sequences=True)(ones(2, 6, N), training=True)
    assert set(np.unique(y)) == {0.0, 2.0}
    np.testing.assert_array_equal(y, np.repeat(y[:, :1], 6, axis=1))
    assert (y[0] != y[1]).any(), "every sample has its own mask"


@pytest.mark.parametrize("cell", [False, True])
def test_one_recurrent_mask_per_call_is_reused_over_all_timesteps(cell):
    layer = linear_rnn(N, recurrent_dropout=0.5, recurrent=1.0, cell=cell, return_sequences=True)
    y = layer(ones(2, 4, N), training=True)
    dropped, kept = np.array([1, 1, 1, 1]), np.array([1, 3, 7, 15])  # h' = 1 + 0 h or 1 + 2 h
    is_kept = y[:, 1] == 3
    assert 0 < is_kept.sum() < is_kept.size
    for t in range(4):
        np.testing.assert_array_equal(y[:, t], np.where(is_kept, kept[t], dropped[t]))
    assert (is_kept[0] != is_kept[1]).any()


@pytest.mark.parametrize("kind", ["dropout", "recurrent_dropout"])
@pytest.mark.parametrize("cell", [False, True])
def test_every_call_draws_a_fresh_mask(cell, kind):
    layer = linear_rnn(N, recurrent=1.0, cell=cell, **{kind: 0.5})
    x = ones(1, 2, N)
    assert bits(layer(x, training=True)) != bits(layer(x, training=True))


@pytest.mark.parametrize("layer", [LSTM, GRU])
def test_built_in_layers_use_one_mask_over_time_not_one_a_timestep(layer):
    """Gates are linear and only read x; one timestep's result depends on nothing but that step's mask."""
    gates = 4 if layer is LSTM else 3
    made = layer(N, dropout=0.5, use_bias=False, return_sequences=True)
    made.build((None, None, N))
    made.set_weights([np.tile(np.eye(N), gates), np.zeros((N, gates * N))])
    y = made(ones(1, 5, N), training=True)
    dropped = y[0] == 0
    assert 0 < dropped[0].sum() < N
    for t in range(1, 5):
        np.testing.assert_array_equal(dropped[t], dropped[0])


def lstm_gate_masks(implementation):
    """c' = i c~ and h' = o c' with i, c~, o equal to their masks times one, all linear."""
    layer = RNN(
        LSTMCell(
            N,
            activation=None,
            recurrent_activation=None,
            use_bias=False,
            dropout=0.5,
            implementation=implementation,
        ),
        return_state=True,
    )
    layer.build((None, None, N))
    layer.set_weights([np.tile(np.eye(N), 4), np.zeros((N, 4 * N))])
    _, h, c = layer(ones(1, 1, N), training=True)
    return h, c


def test_implementation_two_shares_one_mask_between_the_gates():
    h, c = lstm_gate_masks(2)
    assert set(np.unique(c)) == {0.0, 4.0}
    np.testing.assert_array_equal(h, 2 * c)


def test_implementation_one_draws_a_mask_for_every_gate():
    h, c = lstm_gate_masks(1)
    assert set(np.unique(c)) == {0.0, 4.0}
    # P(c != 0) = 1/4 and P(h != 0) = 1/8: standard deviations 8.7 and 6.6 of 400 draws.
    assert abs(int((c != 0).sum()) - N // 4) < 6 * 8.7
    assert abs(int((h != 0).sum()) - N // 8) < 6 * 6.6
    assert ((c != 0) & (h == 0)).any()


@pytest.mark.parametrize("implementation", [1, 2])
def test_gru_masks_per_gate(implementation):
    """h' = (1 - z) hh with r unused: z and hh show their masks (z in {0, 2}, hh in {0, 2})."""
    layer = GRU(
        N,
        activation=None,
        recurrent_activation=None,
        use_bias=False,
        dropout=0.5,
        implementation=implementation,
    )
    layer.build((None, None, N))
    layer.set_weights([np.tile(np.eye(N), 3), np.zeros((N, 3 * N))])
    y = layer(ones(1, 1, N), training=True)
    # Shared mask: (0, 0) gives 0 and (2, 2) gives -2. Independent masks also give z = 0, hh = 2: 2.
    assert set(np.unique(y)) == ({0.0, -2.0} if implementation == 2 else {0.0, -2.0, 2.0})


def test_recurrent_dropout_never_touches_the_cell_state():
    """f = 1, i = 0: c' = c whatever the recurrent mask."""
    layer = LSTM(N, recurrent_activation=None, recurrent_dropout=0.5, return_state=True)
    layer.build((None, None, 1))
    bias = np.concatenate([np.zeros(N), np.ones(N), np.ones(N), np.ones(N)])
    layer.set_weights([np.zeros((1, 4 * N)), np.zeros((N, 4 * N)), bias])
    c0 = normal(1, N)
    _, _, c = layer(ones(1, 3, 1), initial_state=[normal(1, N, seed=1), c0], training=True)
    np.testing.assert_array_equal(c, c0)


@pytest.mark.parametrize("reset_after", [True, False])
def test_recurrent_dropout_never_touches_the_carried_h_of_a_gru(reset_after):
    """z = 1: h' = h whatever the recurrent mask."""
    layer = GRU(N, recurrent_activation=None, recurrent_dropout=0.5, reset_after=reset_after)
    layer.build((None, None, 1))
    bias = np.zeros((2, 3 * N) if reset_after else (3 * N,))
    (bias[0] if reset_after else bias)[:N] = 1
    layer.set_weights([np.zeros((1, 3 * N)), np.zeros((N, 3 * N)), bias])
    h0 = normal(1, N)
    np.testing.assert_array_equal(layer(ones(1, 3, 1), initial_state=h0, training=True), h0)


def test_members_of_a_stack_have_their_own_masks():
    cells = [SimpleRNNCell(N, activation=None, use_bias=False, dropout=0.5) for _ in range(2)]
    layer = RNN(cells, return_state=True)
    layer.build((None, None, N))
    layer.set_weights([np.eye(N), np.zeros((N, N))] * 2)
    y, first, second = layer(ones(1, 3, N), training=True)
    np.testing.assert_array_equal(y, second)
    assert set(np.unique(first)) == {0.0, 2.0}
    assert set(np.unique(second)) == {0.0, 4.0}
    assert ((first == 2) & (second == 0)).any()


def test_masks_of_stack_members_are_reset_by_every_call():
    cells = [SimpleRNNCell(N, activation=None, use_bias=False, dropout=0.5) for _ in range(2)]
    layer = RNN(cells, return_state=True)
    layer.build((None, None, N))
    layer.set_weights([np.eye(N), np.zeros((N, N))] * 2)
    a, b = layer(ones(1, 2, N), training=True), layer(ones(1, 2, N), training=True)
    assert bits(a[1]) != bits(b[1])
    assert (((a[2] > 0) & (a[1] > 0)) != ((b[2] > 0) & (b[1] > 0))).any()


def test_the_layer_resets_masks_that_the_cell_kept_from_a_direct_call():
    cell = SimpleRNNCell(N, activation=None, use_bias=False, dropout=0.5)
    layer = RNN(cell)
    layer.build((None, None, N))
    layer.set_weights([np.eye(N), np.zeros((N, N))])
    first, _ = cell(ones(1, 1, N)[0], np.zeros((1, N), "float32"), training=True)
    second, _ = cell(ones(1, 1, N)[0], np.zeros((1, N), "float32"), training=True)
    np.testing.assert_array_equal(first, second)
    assert bits(layer(ones(1, 1, N), training=True)) != bits(first)
    cell.reset_dropout_mask()
    third, _ = cell(ones(1, 1, N)[0], np.zeros((1, N), "float32"), training=True)
    assert bits(third) != bits(first)


def test_masks_follow_the_batch_size_of_each_call():
    layer = linear_rnn(N, dropout=0.5, recurrent_dropout=0.5, recurrent=1.0)
    for batch in (1, 3, 2):
        assert layer(ones(batch, 2, N), training=True).shape == (batch, N)


def test_trainable_false_does_not_disable_dropout():
    layer = linear_rnn(N, dropout=0.5)
    layer.trainable = False
    assert set(np.unique(layer(ones(1, 1, N), training=True))) == {0.0, 2.0}


@pytest.mark.parametrize("name", MAKE)
def test_a_seed_makes_training_repeatable(name):
    x = normal(4, 5, 6)
    layer = MAKE[name](dropout=0.5, recurrent_dropout=0.5)
    layer(x)
    results = []
    for seed in (1, 1, 2):
        rnnpack.set_seed(seed)
        results.append(bits(layer(x, training=True)))
    assert results[0] == results[1]
    assert results[0] != results[2]


def test_dropout_goes_together_with_masks_and_states():
    x = ones(2, 3, N)
    mask = np.array([[1, 0, 1], [0, 0, 0]], bool)
    layer = linear_rnn(N, dropout=0.5, return_sequences=True, return_state=True)
    y, h = layer(x, mask=mask, initial_state=np.full((2, N), 7.0, "float32"), training=True)
    assert set(np.unique(y[0, 0])) == {0.0, 2.0}
    np.testing.assert_array_equal(y[0, 1], y[0, 0])
    assert not y[1].any()
    np.testing.assert_array_equal(h[1], np.full(N, 7))


def test_training_with_dropout_is_native():
    layer = LSTM(3, dropout=0.5)
    layer(normal(2, 3, 4))
    assert layer.explain(training=True).native is True


@pytest.mark.parametrize("stacked", [False, True])
def test_a_custom_cell_with_the_mixin_reuses_its_mask_within_a_call_only(stacked):
    class Cell(rnnpack.DropoutRNNCellMixin, rnnpack.Layer):
        state_size = N

        def __init__(self):
            super().__init__()
            self.dropout = 0.5
            self.recurrent_dropout = 0.0

        def call(self, inputs, states, training=None):
            mask = self.get_dropout_mask_for_cell(inputs, training, count=1)
            assert self.get_recurrent_dropout_mask_for_cell(states[0], training) is None
            return inputs * mask, [inputs * mask]

    layer = RNN([Cell()] if stacked else Cell(), return_sequences=True)
    x = ones(1, 3, N)
    first, second = layer(x, training=True), layer(x, training=True)
    assert set(np.unique(first)) == {0.0, 2.0}
    np.testing.assert_array_equal(first, np.repeat(first[:, :1], 3, axis=1))
    assert bits(first) != bits(second)
    np.testing.assert_array_equal(layer(x, training=False), x)


def test_several_masks_of_the_mixin_are_independent():
    cell = LSTMCell(N, dropout=0.5, recurrent_dropout=0.25)
    x = ones(1, 1, N)[0]
    masks = cell.get_dropout_mask_for_cell(x, True, count=4)
    assert [m.shape for m in masks] == [(1, N)] * 4
    assert len({bits(m) for m in masks}) == 4
    again = cell.get_dropout_mask_for_cell(x, True, count=4)
    assert [bits(m) for m in again] == [bits(m) for m in masks]
    recurrent = cell.get_recurrent_dropout_mask_for_cell(x, True)
    # 1 / (1 - 0.25), one rounding.
    np.testing.assert_allclose(np.unique(recurrent), [0, 4 / 3], rtol=np.finfo("float32").eps, atol=0)
    cell.reset_dropout_mask()
    assert bits(cell.get_dropout_mask_for_cell(x, True, count=4)[0]) != bits(masks[0])
    assert bits(cell.get_recurrent_dropout_mask_for_cell(x, True)) == bits(recurrent)
    cell.reset_recurrent_dropout_mask()
    assert bits(cell.get_recurrent_dropout_mask_for_cell(x, True)) != bits(recurrent)
