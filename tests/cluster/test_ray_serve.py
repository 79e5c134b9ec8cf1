"""The Serve example answers requests that come at once as it answers them one by one."""

from __future__ import annotations

import importlib.util
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ray.serve")
pytestmark = pytest.mark.filterwarnings("ignore")

import ray  # noqa: E402
from ray import serve  # noqa: E402

import rnnpack  # noqa: E402

APP = Path(__file__).parents[2] / "examples" / "serve" / "app.py"
PORT = 18_765
SIZES = (3, 5, 3, 3, 8, 3, 5, 3)  # timesteps of each request


@pytest.fixture(scope="module")
def model() -> Any:
    """An LSTM behind an input with a name."""
    rnnpack.set_seed(2)
    x = rnnpack.Input((None, 2), name="x")
    return rnnpack.Model(x, rnnpack.LSTM(4, name="summary")(x))


@pytest.fixture(scope="module", autouse=True)
def service(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The example, running."""
    path = tmp_path_factory.mktemp("serve") / "model.safetensors"
    rnnpack.save(model, path)
    spec = importlib.util.spec_from_file_location("serve_example", APP)
    assert spec is not None and spec.loader is not None
    app = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = app
    spec.loader.exec_module(app)
    ray.cloudpickle.register_pickle_by_value(app)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"port": PORT, "host": "127.0.0.1"})
    serve.run(app.Service.bind(str(path)))
    yield
    serve.shutdown()
    ray.shutdown()


def ask(data: bytes) -> tuple[int, Any]:
    """Status and answer of a request."""
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}/", data)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_requests_at_once_are_answered_each_with_its_own_row(model: Any) -> None:
    random = np.random.default_rng(3)
    rows = [random.normal(size=(steps, 2)).astype("float32") for steps in SIZES for _ in range(4)]
    with ThreadPoolExecutor(len(rows)) as pool:
        answers = list(pool.map(lambda row: ask(json.dumps({"x": row.tolist()}).encode()), rows))
    assert {status for status, _ in answers} == {200}
    for row, (_, answer) in zip(rows, answers, strict=True):
        # A row's numbers do not depend on its batch; JSON keeps every bit of a float32.
        np.testing.assert_array_equal(np.float32(answer["summary"]), model(row[np.newaxis])[0])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[1, 2]", "expected an object of arrays"),
        (b"not json", "expected an object of arrays"),
        (b'{"x": [[1], [2, 3]]}', "expected an object of arrays"),
        (b'{"x": [[1, 2, 3]]}', "column 'x'"),
        (b"{}", "expected an object of arrays"),
    ],
)
def test_a_request_that_does_not_fit_gets_the_reason(data: bytes, message: str) -> None:
    status, answer = ask(data)
    assert status == 400
    assert message in answer["error"]
