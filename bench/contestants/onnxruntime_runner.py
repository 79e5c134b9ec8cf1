"""ONNX Runtime on its CPU provider."""

from __future__ import annotations

import tempfile
from itertools import cycle
from pathlib import Path

import numpy as np
import onnx
import onnx_node
import onnxruntime
from onnxruntime.quantization import QuantType, quantize_dynamic
from serve import Arrays, Case, only_full


class Contestant:
    """See `serve.Contestant`."""

    def __init__(self, name: str, threads: int) -> None:
        del name
        self.options = onnxruntime.SessionOptions()
        self.options.intra_op_num_threads = threads
        self.options.inter_op_num_threads = 1

    def facts(self) -> dict[str, str]:
        """Version."""
        return {"onnxruntime": onnxruntime.__version__}

    def prepare(self, task: str, cell: str, arrays: Arrays, precision: str) -> Case:
        """See `serve.Contestant`; tasks: sequence, states, stream (bound arrays, no copies)."""
        if precision == "bfloat16":
            only_full(precision, "ONNX Runtime's CPU provider")
        if task not in ("sequence", "states", "stream"):
            raise ValueError(f"unknown task {task!r}")
        with_states = task != "sequence"
        model = onnx_node.build(cell, arrays, with_states)
        if precision == "int8":
            model = quantized(model)
        session = onnxruntime.InferenceSession(model, self.options, providers=["CPUExecutionProvider"])
        fed = onnx_node.inputs(cell, arrays, with_states)
        if task == "stream":
            return _stream(session, fed)
        path = "DynamicQuantizeLSTM" if precision == "int8" else ""
        return Case(
            lambda: session.run(None, fed), lambda result: [result[0], *(s[0] for s in result[1:])], path
        )


def quantized(model: bytes) -> bytes:
    """The model with weights of 8 bits, a scale for each column, and inputs scaled call by call.

    Raises:
        NotImplementedError: the quantizer left the node as it was, as it does with all but LSTM.
    """
    with tempfile.TemporaryDirectory(prefix="rnnpack-bench-") as name:
        file = Path(name) / "quantized.onnx"
        quantize_dynamic(onnx.load_from_string(model), file, per_channel=True, weight_type=QuantType.QInt8)
        made = onnx.load(file)
    if "DynamicQuantizeLSTM" not in {node.op_type for node in made.graph.node}:
        raise NotImplementedError("quantize_dynamic leaves all recurrent nodes but LSTM in float32")
    return bytes(made.SerializeToString())


def _stream(session: onnxruntime.InferenceSession, fed: dict[str, np.ndarray]) -> Case:
    """Steps from zero states, inputs and outputs bound once; two sets of states change places every step."""
    value = onnxruntime.OrtValue.ortvalue_from_numpy
    x, *states = fed
    given = value(fed[x])
    output = value(np.zeros((*fed[x].shape[:2], fed[states[0]].shape[-1]), fed[x].dtype))
    sets = [[value(np.zeros_like(fed[name])) for name in states] for _ in range(2)]

    def bind(before: list[onnxruntime.OrtValue], after: list[onnxruntime.OrtValue]) -> onnxruntime.IOBinding:
        binding = session.io_binding()
        binding.bind_ortvalue_input(x, given)
        binding.bind_ortvalue_output("y", output)
        for name, old, new in zip(states, before, after, strict=True):
            binding.bind_ortvalue_input(name, old)
            binding.bind_ortvalue_output(name.removesuffix("0"), new)
        return binding

    bindings = cycle([bind(*sets), bind(*reversed(sets))])
    return Case(lambda: session.run_with_iobinding(next(bindings)), lambda _: [output.numpy()])
