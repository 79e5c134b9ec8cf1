"""Where a layer computes: the word, what it goes with, and what a machine without a GPU answers."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
from contract.contract_cells import normal

import rnnpack
from rnnpack import GRU, LSTM, RNN, Bidirectional, GRUCell, LSTMCell, SimpleRNN, cuda
from rnnpack.cuda import library
from rnnpack.layers import device

B, T, F, U = 2, 3, 4, 5
X = normal(B, T, F)
MAKE = {
    "lstm": lambda **kwargs: LSTM(U, **kwargs),
    "gru": lambda **kwargs: GRU(U, **kwargs),
    "simple_rnn": lambda **kwargs: SimpleRNN(U, **kwargs),
    "rnn": lambda **kwargs: RNN(LSTMCell(U), **kwargs),
    "stack": lambda **kwargs: RNN([LSTMCell(U), GRUCell(U)], **kwargs),
    "bidirectional": lambda **kwargs: Bidirectional(LSTM(U), **kwargs),
}
EVERY = pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)


@pytest.fixture
def no_plugin(monkeypatch):
    """A machine whose plugin cannot be loaded, whatever other tests have loaded."""
    monkeypatch.setattr(library, "_loading", library._Loading())
    monkeypatch.setenv("RNNPACK_CUDA_PLUGIN", "/nowhere/librnnpack_cuda.so")


@EVERY
def test_layers_are_on_the_cpu_unless_they_are_told_otherwise(make):
    assert make().device == "cpu"
    for word in ("cuda", "cuda:0", "cuda:12", "cpu"):
        assert make(device=word).device == word
        layer = make()
        layer.device = word
        assert layer.device == word


@EVERY
@pytest.mark.parametrize("word", ["gpu", "CUDA", "cuda:", "cuda:-1", "cuda:x", "cuda:0 ", "cuda:٣", 0, None])
def test_other_words_are_refused_at_once(make, word):
    with pytest.raises(ValueError, match="`device` must be"):
        make(device=word)
    layer = make(device="cuda")
    with pytest.raises(ValueError, match="`device` must be"):
        layer.device = word
    assert layer.device == "cuda"


@EVERY
def test_copies_and_pickles_keep_the_device_and_configs_do_not(make):
    layer = make(device="cuda:1")
    assert copy.deepcopy(layer).device == "cuda:1"
    assert pickle.loads(pickle.dumps(layer)).device == "cuda:1"
    assert "device" not in layer.get_config()
    assert type(layer).from_config(layer.get_config()).device == "cpu"


def test_bidirectional_hands_the_device_to_both_directions():
    for both in (
        Bidirectional(GRU(U), device="cuda:1"),
        Bidirectional(GRU(U, device="cuda:1")),
        Bidirectional(GRU(U, device="cuda:1"), backward_layer=GRU(U, go_backwards=True)),
    ):
        assert (both.forward_layer.device, both.backward_layer.device) == ("cuda:1", "cuda:1")
        both.device = "cpu"
        assert (both.forward_layer.device, both.backward_layer.device) == ("cpu", "cpu")
    both.forward_layer.device = "cuda"
    assert both.device == "cpu+cuda"


def test_bidirectional_of_other_layers_stays_on_the_cpu():
    class Turned(rnnpack.Layer):
        def __init__(self, go_backwards=False, **kwargs):
            super().__init__(**kwargs)
            self.go_backwards, self.return_sequences, self.return_state = go_backwards, True, False

        def get_config(self):
            return {**super().get_config(), "go_backwards": self.go_backwards}

    assert Bidirectional(Turned()).device == "cpu"
    with pytest.raises(ValueError, match="no recurrent layer whose device"):
        Bidirectional(Turned(), device="cuda")


def test_each_device_has_precisions_of_its_own():
    layer = LSTM(U)
    for name in ("tf32", "float16"):
        with pytest.raises(ValueError, match=f"cannot compute in {name} on device cpu"):
            layer.set_precision(name)
    with pytest.raises(ValueError, match="`precision` must be one of"):
        layer.set_precision("float8")
    layer.set_precision("int8")
    with pytest.raises(ValueError, match="cannot compute in int8 on device cuda"):
        layer.device = "cuda"
    assert (layer.device, layer.precision) == ("cpu", "int8")

    layer.set_precision("bfloat16")
    layer.device = "cuda"  # both have it
    with pytest.raises(ValueError, match="cannot compute in int8 on device cuda"):
        layer.set_precision("int8")
    for name in ("tf32", "float16"):
        layer.set_precision(name)
        with pytest.raises(ValueError, match=f"cannot compute in {name} on device cpu"):
            layer.device = "cpu"
        assert (layer.device, layer.precision) == ("cuda", name)


def test_a_refused_direction_leaves_both_as_they_were():
    both = Bidirectional(LSTM(U))
    both.backward_layer.set_precision("int8")
    with pytest.raises(ValueError, match="int8"):
        both.device = "cuda"
    assert both.device == "cpu"


@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_reduced_precision_is_for_float32_layers_on_gpus_too(dtype):
    layer = LSTM(U, dtype=dtype, device="cuda")
    for name in ("tf32", "bfloat16", "float16"):
        with pytest.raises(ValueError, match="reduced precision is for float32 layers"):
            layer.set_precision(name)
    layer.set_precision("full")


@EVERY
def test_a_change_ends_prepared_calls(make):
    layer = make()
    for _ in range(3):
        layer(X)
    assert layer._plain_call.current()
    layer.device = "cuda"
    assert not layer._plain_call.current()


@EVERY
def test_a_machine_without_a_gpu_says_what_is_missing_and_changes_nothing(no_plugin, make):
    layer = make()
    want = layer(X)
    layer.device = "cuda"
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"/nowhere/librnnpack_cuda\.so cannot be loaded"):
            layer(X)
    assert str(layer.explain()).startswith("cuda: cannot be used: the CUDA plugin /nowhere/")
    layer.device = "cpu"
    np.testing.assert_array_equal(layer(X), want)


def test_no_gpu_is_needed_to_make_build_or_copy_a_layer(no_plugin):
    layer = LSTM(U, device="cuda", stateful=True)
    layer.build((B, T, F))
    copy.deepcopy(layer).reset_states()
    before = layer.states
    with pytest.raises(RuntimeError, match="device: "):
        layer(X)
    assert layer.states is before
    new = LSTM(U, device="cuda")
    with pytest.raises(RuntimeError, match="device: "):
        new(X)
    assert not new.built


def test_what_a_gpu_cannot_run_is_refused_whether_there_is_one_or_not(no_plugin):
    class Mine(LSTMCell):
        pass

    for layer, why in (
        (RNN(Mine(U), device="cuda"), "cell Mine is a subclass of LSTMCell"),
        (LSTM(U, activation="softmax", device="cuda"), "activation 'softmax' has no native kernel"),
        (RNN(LSTMCell(U), dtype="float64", device="cuda"), "computes in float32, the layer in float64"),
        (RNN(Mine(U), dtype="int32", device="cuda"), "in float16, float32 and float64, not in int32"),
    ):
        with pytest.raises(ValueError, match=f"device: layer .* cannot run on cuda: .*{why}.*device='cpu'"):
            layer(X.astype(layer.dtype))
        assert why in layer.explain().reason
        assert not layer.explain().native


def test_streams_are_for_the_cpu():
    layer = LSTM(U)
    stream = layer.stream(B)
    stream(X[:, 0])
    layer.device = "cuda"
    with pytest.raises(ValueError, match="runs on the CPU only: set its device to 'cpu'"):
        stream(X[:, 1])
    with pytest.raises(ValueError, match="runs on the CPU only"):
        layer.stream(B)
    layer.device = "cpu"
    np.testing.assert_allclose(stream(X[:, 1]), layer(X[:, :2]), rtol=1e-6, atol=1e-6)


def test_saved_models_load_anywhere(tmp_path, no_plugin):
    path = tmp_path / "model.safetensors"
    for precision, loaded in (("tf32", "full"), ("float16", "full"), ("bfloat16", "bfloat16")):
        model = rnnpack.Sequential([LSTM(U, device="cuda", input_shape=(T, F))])
        model.set_precision(precision)
        rnnpack.save(model, path)
        again = rnnpack.load(path)
        assert (again.layers[0].device, again.precision) == ("cpu", loaded)
        assert again(X).shape == (B, U)


def test_plain_arrays_are_never_asked_where_they_live(monkeypatch):
    layer, both = LSTM(U), Bidirectional(LSTM(U))
    monkeypatch.setattr(device, "lives_on_gpu", None)
    for one in (layer, both):
        for _ in range(3):
            one(X)
            one(X.astype(np.float64))


def test_importing_the_package_leaves_what_gpus_need_alone():
    code = (
        "import sys, rnnpack; assert not any(name.startswith('rnnpack.cuda') for name in sys.modules); "
        "rnnpack.LSTM(3, device='cuda'); assert 'rnnpack.cuda' not in sys.modules; "
        "import numpy as np; rnnpack.LSTM(3)(np.ones((1, 2, 3))); assert 'rnnpack.cuda' not in sys.modules; "
        "rnnpack.cuda.why_not(); assert 'rnnpack.cuda' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Finding the plugin.


@pytest.fixture
def fresh(monkeypatch):
    """A process that has not looked for the plugin yet, with notes of what was loaded."""
    loaded = []
    monkeypatch.setattr(library, "_loading", library._Loading())
    monkeypatch.delenv("RNNPACK_CUDA_PLUGIN", raising=False)
    monkeypatch.setattr(library._core, "cuda_load", loaded.append)
    monkeypatch.setattr(library._core, "cuda_device_count", lambda: 1)
    return loaded


def test_without_a_plugin_the_command_to_install_it_is_named(fresh, monkeypatch):
    monkeypatch.setattr(library, "_installed", lambda: None)
    assert cuda.why_not() == "the CUDA plugin is not installed: pip install rnnpack-cuda13"
    assert not cuda.is_available()
    assert cuda.devices() == []
    assert not fresh


def test_without_a_driver_an_installed_plugin_is_not_loaded(fresh, monkeypatch, tmp_path):
    monkeypatch.setattr(library, "_installed", lambda: tmp_path)
    monkeypatch.setattr(library, "_has_driver", lambda: False)
    assert "no NVIDIA driver" in cuda.why_not()
    assert not fresh


def test_the_variable_is_used_as_it_is_and_tried_again_when_it_changes(fresh, monkeypatch):
    def load(path):
        fresh.append(path)
        if path == "/bad":
            raise OSError("first line\nsecond line")

    monkeypatch.setattr(library, "_has_driver", lambda: False)  # nobody asks
    monkeypatch.setattr(library._core, "cuda_load", load)
    monkeypatch.setenv("RNNPACK_CUDA_PLUGIN", "/bad")
    for _ in range(3):
        assert "/bad cannot be loaded: first line second line: check RNNPACK_CUDA_PLUGIN" in cuda.why_not()
    monkeypatch.setenv("RNNPACK_CUDA_PLUGIN", "/good")
    assert cuda.why_not() is None
    monkeypatch.setenv("RNNPACK_CUDA_PLUGIN", "/bad")
    assert cuda.why_not() is None  # what is loaded stays
    assert fresh == ["/bad", "/good"]


def test_the_plugin_lies_beside_the_native_module_or_in_a_package_of_its_own(monkeypatch, tmp_path):
    inside, package = tmp_path / "rnnpack", tmp_path / "rnnpack_cuda13"
    for folder in (inside, package):
        folder.mkdir()
    (package / "__init__.py").write_text("raise AssertionError('it is found without being imported')")
    monkeypatch.setattr(library._core, "__file__", str(inside / "_core.so"))
    monkeypatch.syspath_prepend(tmp_path)
    assert library._installed() is None
    (package / "librnnpack_cuda.so").touch()
    assert library._installed() == package / "librnnpack_cuda.so"
    (inside / "librnnpack_cuda.so").touch()
    assert library._installed() == inside / "librnnpack_cuda.so"


def test_a_plugin_without_a_gpu_gives_the_reason(fresh, monkeypatch, tmp_path):
    def none():
        raise RuntimeError("no CUDA-capable device is detected")

    monkeypatch.setattr(library, "_installed", lambda: tmp_path)
    monkeypatch.setattr(library, "_has_driver", lambda: True)
    monkeypatch.setattr(library._core, "cuda_device_count", none)
    assert cuda.why_not().startswith("no GPU can be used: no CUDA-capable device is detected: ")


def test_a_gpu_that_is_not_there_is_named(fresh, monkeypatch, tmp_path):
    monkeypatch.setattr(library, "_installed", lambda: tmp_path)
    monkeypatch.setattr(library, "_has_driver", lambda: True)
    with pytest.raises(RuntimeError, match="device: there is no GPU cuda:3, the last one is cuda:0"):
        LSTM(U, device="cuda:3")(X)


def test_devices_are_described(fresh, monkeypatch, tmp_path):
    monkeypatch.setattr(library, "_installed", lambda: tmp_path)
    monkeypatch.setattr(library, "_has_driver", lambda: True)
    monkeypatch.setattr(library._core, "cuda_device_info", lambda index: ("a card", (9, 0), 132, 1 << 36))
    assert cuda.devices() == [cuda.Device(0, "a card", (9, 0), 132, 1 << 36)]
    layer = LSTM(U, device="cuda:0")
    assert str(layer.explain()) == "cuda:0: lstm/sm_90/float32"
    assert layer.explain().device == "cuda:0"
    layer.set_precision("tf32")
    assert str(layer.explain()) == "cuda:0: lstm/sm_90/tf32"
