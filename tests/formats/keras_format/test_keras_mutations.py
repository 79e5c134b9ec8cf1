"""Configurations that have been tampered with: `FormatError` or a model, and nothing else.

Damaged bytes of Keras files are tried in test_format_mutations.py; here the files are whole and lie.
"""

from __future__ import annotations

import copy
import io
import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import keras_files
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rnnpack
from rnnpack.formats.keras import load

VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.just(10**12), st.just(2**70), st.floats(),
    st.text(max_size=5), st.just([]), st.just({}), st.just([None, 10**9, 10**9]),
    st.just({"class_name": "LSTM"}),
    st.sampled_from(["Dense", "Lambda", "Functional", "softmax", "__tuple__", "Operation", "nested", "lstm"]),
    st.just(["lstm", 0, 0]),
    st.just({"class_name": "__keras_tensor__", "config": {"keras_history": ["x", 0, 0]}}),
)  # fmt: skip

_CASES = [
    (2, "sequential"),
    (3, "masked_words"),
    (2, "masked_words"),
    (3, "operations"),
    (2, "nested"),
    (3, "cells"),
]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to everything in a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, child in items for found in [(*path, key), *places(child, (*path, key))]]


EDIT = st.tuples(st.floats(0, 1, exclude_max=True), st.booleans(), VALUES)


def tampered(case: tuple[int, str], edits: list[tuple[float, bool, Any]], metadata: Any) -> bytes:
    """A recorded .keras file with another value, or nothing, at a few places of its configuration."""
    major, name = case
    with zipfile.ZipFile(io.BytesIO(keras_files.member(major, f"{name}.keras"))) as archive:
        members = {one: archive.read(one) for one in archive.namelist()}
    config = json.loads(members["config.json"])
    for where, replaced, value in edits:
        found = places(config)
        *way, last = found[int(where * len(found))]
        target = config
        for key in way:
            target = target[key]
        if replaced:
            target[last] = copy.deepcopy(value)
        else:
            del target[last]
    members["config.json"] = json.dumps(config).encode()
    if metadata is not ...:
        members["metadata.json"] = json.dumps(metadata).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for one, data in members.items():
            archive.writestr(one, data)
    return buffer.getvalue()


@settings(max_examples=100, suppress_health_check=list(HealthCheck), deadline=None)
@given(
    st.sampled_from(_CASES),
    st.lists(EDIT, min_size=1, max_size=2),
    st.one_of(st.just(...), st.just(...), st.just(...), VALUES, st.just({"keras_version": "2"})),
)
def test_a_tampered_configuration_is_an_error_or_a_model(
    case: tuple[int, str], edits: list[tuple[float, bool, Any]], metadata: Any
) -> None:
    data = tampered(case, edits, metadata)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tampered.keras"
        path.write_bytes(data)
        try:
            model = load(path)
        except rnnpack.FormatError as error:
            assert "\n" not in str(error)
            assert str(path) in str(error)
        else:
            assert model.built


@pytest.mark.parametrize("units", [10**6, 10**12])
def test_a_configuration_cannot_ask_for_more_weights_than_there_are(units: int, tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(keras_files.member(2, "sequential.keras"))) as archive:
        members = {one: archive.read(one) for one in archive.namelist()}
    members["config.json"] = members["config.json"].replace(b'"units": 3', f'"units": {units}'.encode())
    path = tmp_path / "large.keras"
    with zipfile.ZipFile(path, "w") as archive:
        for one, data in members.items():
            archive.writestr(one, data)
    with pytest.raises(rnnpack.FormatError, match="more than there are weights for"):
        load(path)


@pytest.mark.parametrize(
    ("member", "data", "message"),
    [
        ("config.json", b"[1]", "config.json: expected a JSON object, got list"),
        ("config.json", b"{", "config.json: not valid JSON"),
        ("model.weights.h5", b"\x89HDF\r\n\x1a\n", "model.weights.h5"),
        ("model.weights.h5", None, "there is no 'model.weights.h5'"),
        ("metadata.json", None, "there is no 'metadata.json'"),
        ("metadata.json", b"{}", "`keras_version` must be a version, got 'None'"),
    ],
)
def test_damaged_members_are_named(member: str, data: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.keras"
    with (
        zipfile.ZipFile(io.BytesIO(keras_files.member(3, "sequential.keras"))) as archive,
        zipfile.ZipFile(path, "w") as written,
    ):
        for one in archive.namelist():
            if one != member:
                written.writestr(one, archive.read(one))
        if data is not None:
            written.writestr(member, data)
    with pytest.raises(rnnpack.FormatError, match=message):
        load(path)
