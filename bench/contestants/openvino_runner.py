"""OpenVINO on its CPU device, reading the same ONNX model as ONNX Runtime."""

from __future__ import annotations

import io

import numpy as np
import onnx_model
import openvino
from serve import Arrays, Case


class Contestant:
    """See `serve.Contestant`."""

    def __init__(self, name: str, threads: int) -> None:
        del name
        self.core = openvino.Core()
        self.config = {
            # The default on machines that can is bfloat16, which is another result.
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
        }

    def facts(self) -> dict[str, str]:
        """Version."""
        return {"openvino": openvino.__version__.split("-")[0]}

    def prepare(self, task: str, cell: str, arrays: Arrays) -> Case:
        """See `serve.Contestant`; tasks: sequence, states; float32 only."""
        if task not in ("sequence", "states"):
            raise ValueError(f"unknown task {task!r}")
        if arrays["inputs"].dtype != np.float32:
            raise NotImplementedError("the CPU device computes in float32")
        with_states = task == "states"
        model = self.core.read_model(io.BytesIO(onnx_model.build(cell, arrays, with_states)))
        request = self.core.compile_model(model, "CPU", self.config).create_infer_request()
        named = onnx_model.inputs(cell, arrays, with_states)
        fed = named if with_states else named["x"]  # a lone array is passed on faster than a dict
        # Inputs need not be copied; results are, so that they stay valid after the next call.
        return Case(
            lambda: request.infer(fed, share_inputs=True),
            lambda result: [result[0], *(result[i][0] for i in range(1, len(result)))],
        )
