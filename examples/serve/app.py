"""A Ray Serve deployment: single requests are gathered into batches, one model in each replica.

    pip install rnnpack[ray]
    serve run app:application

    curl -d '{"x": [[0.1, 0.2], [0.3, 0.4]]}' http://127.0.0.1:8000/

The model is the file that RNNPACK_MODEL names. A request holds one row for each of its inputs, by name.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse

from rnnpack.ray import Predictor

MOST_ROWS = 64
WAIT = 0.005  # seconds that the first request of a batch waits for more


@serve.deployment(ray_actor_options={"num_cpus": 1})
class Service:
    """Answers one row a request, and computes the requests that come together as one batch.

    Args:
        model: the model's file.
    """

    def __init__(self, model: str) -> None:
        """Loads the model once for all requests."""
        self._predictor = Predictor(model, batch_size=MOST_ROWS)

    @serve.batch(max_batch_size=MOST_ROWS, batch_wait_timeout_s=WAIT)
    async def _computed(self, rows: list[dict[str, Any]]) -> list[dict[str, Any] | ValueError]:
        """The outputs of each row; one that does not fit is answered alone and spoils no other."""
        answers: list[dict[str, Any] | ValueError] = []
        for group in _alike(rows):
            answers += self._together(group)
        return answers

    def _together(self, rows: list[dict[str, Any]]) -> list[dict[str, Any] | ValueError]:
        try:
            outputs = self._predictor({name: np.stack([row[name] for row in rows]) for name in rows[0]})
        except ValueError as error:
            return [error] * len(rows)
        return [{name: values[i].tolist() for name, values in outputs.items()} for i in range(len(rows))]

    async def __call__(self, request: Request) -> JSONResponse:
        """The outputs of one row as JSON; status 400 and the reason where it does not fit the model."""
        try:
            row = {name: np.asarray(values) for name, values in (await request.json()).items()}
        except (AttributeError, ValueError) as error:
            return JSONResponse({"error": f"expected an object of arrays by input: {error}"}, 400)
        if not row:
            return JSONResponse({"error": "expected an object of arrays by input, got an empty one"}, 400)
        answer = await self._computed(row)
        if isinstance(answer, ValueError):
            return JSONResponse({"error": str(answer)}, 400)
        return JSONResponse(answer)


def _alike(rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Neighbours with the same names and shapes, which can be stacked."""
    groups: list[list[dict[str, Any]]] = []
    kinds: list[Any] = []
    for row in rows:
        kind = {name: (value.shape, value.dtype.kind) for name, value in row.items()}
        if not kinds or kinds[-1] != kind:
            groups.append([])
            kinds.append(kind)
        groups[-1].append(row)
    return groups


application = Service.bind(os.environ.get("RNNPACK_MODEL", "model.safetensors"))
