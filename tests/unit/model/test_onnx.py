"""The ONNX graph says what the network says, however a batch is cut."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.model.conftest import LEVELS, NAMES
from tests.unit.model.makes import make_har, make_network, shake

from heliograph.model.onnx import FILE, Runtime, export, write
from heliograph.model.spec import Spec


def torch_says(network, windows):
    network.eval()
    with torch.inference_mode():
        return [a.numpy() for a in network(network.inputs(torch.from_numpy(windows)))]


@pytest.mark.parametrize("kind", ["hybrid", "lstm", "transformer"])
@pytest.mark.parametrize("layers", [1, 2])
def test_graph_equals_the_network(kind, layers, spec, har, windows):
    settings = {"kind": kind, "lstm_layers": layers, "attention_layers": layers}
    network = shake(make_network(spec, har, windows, **settings), size=0.2)
    for ours, theirs in zip(Runtime(network).run(windows), torch_says(network, windows), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("names", [("ewma_volatility",), ("ewma_volatility_4h", "range", "range_4h"), NAMES[:2]])
def test_graph_equals_the_network_for_any_columns(names, windows):
    """No longer timeframe, one column alone, or the volatility on a longer timeframe."""
    spec = Spec(names, names[0], (1, 4), LEVELS, 16)
    if spec.sigma_index != 1:
        windows = np.abs(windows)
    some = np.ascontiguousarray(windows[..., : len(names)])
    some[..., spec.sigma_index] = np.abs(some[..., spec.sigma_index]) + 1e-3
    network = shake(make_network(spec, make_har(spec, some), some), size=0.2)
    for ours, theirs in zip(Runtime(network).run(some), torch_says(network, some), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def runtime():
    spec = Spec(NAMES, "ewma_volatility", (1, 4), LEVELS, 16)
    windows = np.random.default_rng(7).normal(size=(64, 16, len(NAMES))).astype(np.float32)
    windows[..., spec.sigma_index] = 0.01 * np.exp(0.3 * windows[..., spec.sigma_index])
    made = Runtime(shake(make_network(spec, make_har(spec, windows), windows), size=0.2))
    return made, windows, made.run(windows)


@given(cuts=st.lists(st.integers(0, 64), max_size=6))
def test_any_cut_of_a_batch_gives_the_same(runtime, cuts):
    """Streaming equals batch: bar by bar, in pieces or at once."""
    run, windows, whole = runtime
    edges = [0, *sorted(cuts), 64]
    parts = [run.run(windows[a:b]) for a, b in pairwise(edges) if b > a]
    for name in whole._fields:
        ours = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_allclose(ours, getattr(whole, name), rtol=1e-5, atol=1e-5)


def test_quantiles_of_the_graph_never_cross(network, windows):
    z_BHQ = Runtime(shake(network, size=5.0)).run(windows).z_BHQ
    assert z_BHQ.dtype == np.float64
    assert (np.diff(z_BHQ, axis=-1) >= 0).all()


def test_kept_graph_is_whole_and_runs_elsewhere(network, windows, tmp_path):
    path = write(tmp_path, network)
    assert [p.name for p in tmp_path.iterdir()] == [FILE]
    onnx.checker.check_model(str(path), full_check=True)
    session = onnxruntime.InferenceSession(str(path))
    assert [o.name for o in session.get_outputs()] == ["z_BHQ", "setup_BHC", "direction_BH", "log_vol_BH"]
    (z_BHQ,) = session.run(["z_BHQ"], {"x_BTF": windows[:3]})
    np.testing.assert_allclose(z_BHQ, torch_says(network, windows[:3])[0], rtol=1e-6)


def test_same_weights_give_the_same_bytes(network):
    assert export(network) == export(network)
