"""The table that `summary` prints."""

from __future__ import annotations

import pytest

from rnnpack import GRU, LSTM, RNN, GRUCell, Input, Model, Sequential, layers
from rnnpack.models import table


class Cell(GRUCell):
    pass


def model():
    x, h = Input((None, 3), name="x"), Input((4,), name="h")
    y, state = GRU(4, return_sequences=True, return_state=True, name="gru")(x, initial_state=h)
    inner = Sequential([LSTM(2, name="first"), layers.Dense(2, name="last")], name="inner")
    off = layers.Dense(2, name="off", trainable=False)
    return Model([x, h], [inner(y), off(state), RNN(Cell(2), name="own")(y)], name="table")


def lines(*args, **kwargs):
    found = []
    model().summary(found.append, *args, **kwargs)
    return found


def test_a_row_for_each_layer():
    found = lines()
    assert found[0] == 'Model: "table"'
    assert found[2].split() == ["Layer", "(type)", "Output", "shape", "Params", "Connected", "to", "Runs"]
    rows = {line.split()[0]: line for line in found[4:] if line[:1] not in " -"}
    assert rows["x"].split() == ["x", "(Input)", "(None,", "None,", "3)"]
    assert "(GRU)" in rows["gru"] and " 108  x" in rows["gru"] and "native: gru/" in rows["gru"]
    # 4 * (4 + 2 + 1) * 2 of the LSTM, 2 * 2 + 2 of the dense layer
    assert " 62  gru" in rows["inner"] and "first: native: lstm/" in rows["inner"]
    assert "gru[0][1]" in rows["off"]
    assert "python: " in rows["own"]
    assert rows["Total"] == "Total params: 228 (912 bytes)"
    assert rows["Trainable"] == "Trainable params: 218 (872 bytes)"
    assert rows["Non-trainable"] == "Non-trainable params: 10 (40 bytes)"


def test_columns_are_aligned():
    found = lines()
    start = found[2].index("Connected to")
    for line in found[4 : found.index(found[1], 4)]:
        assert start >= len(line) or line[start - 1] == " "
    assert len({len(line) for line in found if line.startswith("---")}) == 1


@pytest.mark.parametrize("length", [60, 100, 300])
def test_lines_fit_the_given_length(length):
    found = lines(line_length=length)
    assert max(map(len, found)) <= length
    assert "".join(lines()).count("native") <= "".join(found).count("native") + 2


def test_without_a_function_it_is_printed(capsys):
    model().summary()
    assert 'Model: "table"' in capsys.readouterr().out


def test_what_cannot_be_shown():
    with pytest.raises(ValueError, match="`line_length` must be at least 50, got 49"):
        lines(line_length=49)
    with pytest.raises(ValueError, match="does not know its inputs"):
        Sequential([GRU(2)]).summary()


@pytest.mark.parametrize(
    ("size", "text"),
    [(1023, "1023 bytes"), (40_400, "39.45 KiB"), (4_004_000, "3.82 MiB"), (1_156_068_000, "1.08 GiB")],
)
def test_sizes_have_units(size, text):
    assert table._bytes(size) == text
