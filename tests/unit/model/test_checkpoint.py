"""A folder on disk holds a whole model or the one before."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from heliograph.core.errors import ConfigError, CorruptPart
from heliograph.model import checkpoint

TENSORS = {"a": np.arange(6.0).reshape(2, 3), "text": np.frombuffer(b"tree\n", dtype=np.uint8)}


@given(
    value=arrays.arrays(
        st.sampled_from([np.float64, np.float32, np.int64, np.uint8]), arrays.array_shapes(min_dims=0, max_dims=3)
    )
)
def test_tensors_of_any_shape_come_back_bit_for_bit(value, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "m"
    tensors, header = checkpoint.read(checkpoint.write(folder, {"x": value}, {"kind": "k"}))
    assert tensors["x"].dtype == value.dtype
    assert tensors["x"].shape == value.shape
    assert tensors["x"].tobytes() == value.tobytes()
    assert header["kind"] == "k"


def test_an_empty_tensor_comes_back(tmp_path):
    tensors, _ = checkpoint.read(checkpoint.write(tmp_path / "m", {"none": np.empty(0, dtype=np.uint8)}, {}))
    assert tensors["none"].shape == (0,)


def test_the_same_model_has_the_same_bytes(tmp_path):
    one, two = (checkpoint.write(tmp_path / name, TENSORS, {"kind": "k"}) for name in ("one", "two"))
    for file in ("forecaster.json", "weights.safetensors"):
        assert (one / file).read_bytes() == (two / file).read_bytes()


def test_a_header_torn_in_half_is_refused(tmp_path):
    folder = checkpoint.write(tmp_path / "m", TENSORS, {"kind": "k"})
    text = (folder / "forecaster.json").read_text()
    (folder / "forecaster.json").write_text(text[: len(text) // 2])
    with pytest.raises(CorruptPart, match="restore it, or train again"):
        checkpoint.read(folder)


def test_weights_that_are_gone_are_refused(tmp_path):
    folder = checkpoint.write(tmp_path / "m", TENSORS, {"kind": "k"})
    (folder / "weights.safetensors").unlink()
    with pytest.raises(CorruptPart, match="restore it, or train again"):
        checkpoint.read(folder)


def test_a_folder_without_a_model_says_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match="train one"):
        checkpoint.read(tmp_path)


def test_header_names_the_weights_and_the_format(tmp_path):
    said = json.loads((checkpoint.write(tmp_path / "m", TENSORS, {"kind": "k"}) / "forecaster.json").read_text())
    assert {"format", "kind", "weights_sha256"} <= set(said)
