"""Record the golden cases with a live Keras 2.15 (TensorFlow 2.15, CPU): ``python make_goldens.py``.

Writes one .npz for each module of cases beside this script. Needs ``tensorflow-cpu==2.15``; nothing else
of the project does. A case describes layer and steps; Keras supplies the results. Cases carry an
``expected_from`` where this project decided against Keras: the result is then live Keras' answer to
that equivalent case, and what Keras said to the case itself is kept under ``"keras"``.
"""

from __future__ import annotations

import json
import sys
import zlib
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import cases_bidirectional  # noqa: E402
import cases_builtin  # noqa: E402
import cases_config  # noqa: E402
import cases_custom  # noqa: E402
import cases_stacks  # noqa: E402
import cases_stateful  # noqa: E402
import golden_cells  # noqa: E402
import golden_runner  # noqa: E402
import golden_store  # noqa: E402
import keras  # type: ignore[import-not-found]  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # type: ignore[import-untyped]  # noqa: E402
from keras.src.layers.rnn import cell_wrappers  # type: ignore[import-not-found]  # noqa: E402

OPS = golden_cells.Ops(
    matmul=tf.matmul,
    einsum=tf.einsum,
    tanh=tf.tanh,
    full=lambda shape, value, dtype: tf.fill(shape, tf.constant(value, dtype)),
    shape=tf.TensorShape,
)
KERAS_NAMES = (
    "RNN", "LSTM", "GRU", "SimpleRNN", "Bidirectional", "LSTMCell", "GRUCell", "SimpleRNNCell",
    "StackedRNNCells",
)  # fmt: skip
CLASSES = {
    **{name: getattr(keras.layers, name) for name in KERAS_NAMES},
    **golden_cells.bind(keras.layers.Layer, OPS),
    "ResidualWrapper": cell_wrappers.ResidualWrapper,
}

# Steps whose return value is no result.
SILENT = ("create", "prime", "build", "set_weights", "set_attribute", "reset_states")


def lower(value: Any) -> Any:
    """Tensors and variables to arrays, shapes to tuples, configs to the layout of Keras 2.9."""
    if isinstance(value, tf.TensorShape):
        return tuple(value.as_list())
    if isinstance(value, tf.Tensor | tf.Variable):
        return value.numpy()
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(lower(member) for member in value))
    if isinstance(value, tuple):
        return tuple(lower(member) for member in value)
    if isinstance(value, list):
        return [lower(member) for member in value]
    if isinstance(value, dict):
        if {"module", "class_name", "config", "registered_name"} <= set(value):
            value = {key: value[key] for key in ("class_name", "config")}
        return {key: lower(member) for key, member in value.items() if key != "build_config"}
    return value


def random_weights(layer: Any, seed: int, scale: float) -> list[np.ndarray]:
    """Weights that keep the recurrence tame, so that derived error bounds stay small.

    Columns of recurrent kernels have an absolute sum of about ``0.75 * scale``. All values are multiples of
    2**-10: exact in float32, and they compress well.
    """
    rng = np.random.default_rng(seed)
    values = []
    frozen_last = [*layer.trainable_weights, *layer.non_trainable_weights]
    for variable in frozen_last:
        rows = variable.shape[0] if variable.shape.rank > 1 else 1
        width = 1.5 / rows if "recurrent" in variable.name else 1.0 / np.sqrt(rows)
        width = 0.5 if variable.shape.rank == 1 or "bias" in variable.name else width * scale
        value = rng.uniform(-width, width, variable.shape)
        values.append((np.round(value * 1024) / 1024).astype(variable.dtype.as_numpy_dtype))
    return values


def attempt(layer: Any, step: dict[str, Any]) -> tuple[str, Any]:
    """Run a step; ("result", value) or ("raises", [class name, message])."""
    convert = tf.Variable if step["op"] == "set_attribute" else tf.constant
    try:
        return "result", lower(golden_runner.run_step(layer, step, convert))
    except Exception as error:  # the class of whatever Keras raises is the datum
        names = [base.__name__ for base in type(error).__mro__]
        return "raises", [names, str(error)[:300]]


def record_steps(spec: Any, steps: list[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """Run the steps on Keras and return them with "result" or "raises"."""
    keras.utils.set_random_seed(seed)
    tf.keras.backend.clear_session()
    layer, recorded = None, []
    for step in steps:
        step = dict(step)
        if step["op"] == "weights":
            step = {"op": "set_weights", "args": [random_weights(layer, seed, step["scale"])]}
        if step["op"] == "create":
            try:
                layer = golden_runner.build(spec, CLASSES)
                kind, value = "result", None
            except Exception as error:
                kind, value = "raises", [[base.__name__ for base in type(error).__mro__], str(error)[:300]]
        else:
            kind, value = attempt(layer, step)
        step["live"] = {kind: value}
        recorded.append(step)
    return recorded


def settle(
    case_name: str, step: dict[str, Any], expected: dict[str, Any] | None, decided: bool
) -> dict[str, Any]:
    """Decide what a step must give, and keep Keras' answer only where it differs."""
    live = step.pop("live")
    if "raises" in step:
        wanted, fragment = step["raises"]
        agrees = "raises" in live and wanted in live["raises"][0] and fragment in live["raises"][1]
        if not agrees:
            step["keras"] = live if "raises" in live else {"result": "no error"}
            print(f"  {case_name}: {step['op']} should raise {wanted}, Keras: {step['keras']}")
        return step
    if expected is not None:
        if "raises" in expected:
            raise RuntimeError(f"{case_name}: the equivalent case fails: {expected['raises']}")
        step["result"] = expected["result"]
        if not same(live, expected):
            step["keras"] = live
        return step
    if "raises" in live and not decided:
        raise RuntimeError(f"{case_name}: {step['op']} fails: {live['raises']}")
    if step["op"] not in SILENT:
        step["result"] = live["result"]
    return step


def same(left: Any, right: Any) -> bool:
    """Whether two recorded values are equal bit for bit."""
    pools = golden_store.ArrayPool(), golden_store.ArrayPool()
    texts = [json.dumps(golden_store._encode(v, p)) for v, p in zip((left, right), pools, strict=True)]
    arrays = [{k: v.tobytes() for k, v in p.arrays().items()} for p in pools]
    return texts[0] == texts[1] and arrays[0] == arrays[1]


def record(case: dict[str, Any]) -> dict[str, Any]:
    """One finished case."""
    seed = zlib.crc32(case["name"].encode())
    steps = record_steps(case["layer"], case["steps"], seed)
    expected: dict[int, dict[str, Any]] = {}
    if case.get("expected_from"):
        other = case["expected_from"]
        others = record_steps(other["layer"], other["steps"], seed)
        answers = [s["live"] for s in others if s["op"] not in SILENT]
        places = [i for i, s in enumerate(steps) if s["op"] not in SILENT]
        expected = dict(zip(places, answers, strict=True))
    settled = [settle(case["name"], s, expected.get(i), bool(expected)) for i, s in enumerate(steps)]
    if case.get("expected_from"):
        differs = [step["op"] for step in settled if "keras" in step]
        print(f"  {case['name']} {case['tags']}: Keras differs in {differs or 'nothing'}")
    return {"name": case["name"], "tags": case["tags"], "layer": case["layer"], "steps": settled}


def main() -> None:
    """Record every group."""
    groups = {
        "builtin": cases_builtin.cases(),
        "stacks": cases_stacks.cases(),
        "bidirectional": cases_bidirectional.cases(),
        "stateful": cases_stateful.cases(),
        "custom": cases_custom.cases(),
        "config": cases_config.cases(),
    }
    wanted = sys.argv[1:] or list(groups)
    for group in wanted:
        recorded = [record(case) for case in groups[group]]
        path = HERE / f"{group}.npz"
        golden_store.save(path, recorded)
        print(f"{group}: {len(recorded)} cases, {path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
