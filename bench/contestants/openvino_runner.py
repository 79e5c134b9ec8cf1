"""OpenVINO on its CPU device, reading the same ONNX model as ONNX Runtime."""

from __future__ import annotations

import io

import numpy as np
import onnx_node
import openvino
from serve import Arrays, Case, only_full


class Contestant:
    """See `serve.Contestant`."""

    def __init__(self, name: str, threads: int) -> None:
        del name
        self.core = openvino.Core()
        self.config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}

    def facts(self) -> dict[str, str]:
        """Version."""
        return {"openvino": openvino.__version__.split("-")[0]}

    def prepare(self, task: str, cell: str, arrays: Arrays, precision: str) -> Case:
        """See `serve.Contestant`; tasks: sequence, states; float32 arrays only.

        On machines that can, OpenVINO computes float32 models in bfloat16 unless it is told not to: its
        default is what is measured as bfloat16.
        """
        if precision == "int8":
            only_full(precision, "OpenVINO")
        if task not in ("sequence", "states"):
            raise ValueError(f"unknown task {task!r}")
        if arrays["inputs"].dtype != np.float32:
            raise NotImplementedError("the CPU device computes in float32")
        with_states = task == "states"
        model = self.core.read_model(io.BytesIO(onnx_node.build(cell, arrays, with_states)))
        config = dict(self.config)
        if precision == "full":
            config["INFERENCE_PRECISION_HINT"] = "f32"
        compiled = self.core.compile_model(model, "CPU", config)
        used = compiled.get_property("INFERENCE_PRECISION_HINT")
        if used != (openvino.Type.bf16 if precision == "bfloat16" else openvino.Type.f32):
            raise NotImplementedError(f"the CPU device computes in {used.get_type_name()} on this machine")
        request = compiled.create_infer_request()
        named = onnx_node.inputs(cell, arrays, with_states)
        fed = named if with_states else named["x"]  # a lone array is passed on faster than a dict
        # Inputs need not be copied; results are, so that they stay valid after the next call.
        return Case(
            lambda: request.infer(fed, share_inputs=True),
            lambda result: [result[0], *(result[i][0] for i in range(1, len(result)))],
            f"inference precision {used.get_type_name()}",
        )
