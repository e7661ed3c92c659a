"""Every timeframe's rows become tokens with shared weights, and no token hears of a later one of its own timeframe."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.unit.model.makes import make_network, shake

from heliograph.config.learning import ModelSettings
from heliograph.model.encoder import layouts, names_of
from heliograph.model.neural import importance
from heliograph.model.spec import Spec


def tokens_of(network, windows):
    with torch.no_grad():
        return network.encoder.tokens(network.inputs(torch.from_numpy(windows)).sequences)


def test_longer_timeframes_are_the_windows_rows_at_strides():
    spec = Spec(("sigma", "rsi_14", "rsi_14_1d", "rsi_14_4h"), "sigma", (1,), (0.5,), 96)
    base, hours, days = layouts(spec, ModelSettings(window_bars=96, patch_bars=8, higher_bars=12))
    assert base.offsets == tuple(range(-95, 1))
    assert base.tokens == 12
    assert hours.offsets == tuple(range(-44, 1, 4))
    assert days.offsets == (-72, -48, -24, 0)


def test_window_shorter_than_a_stride_leaves_the_newest_row_alone():
    spec = Spec(("sigma", "rsi_14_1d"), "sigma", (1,), (0.5,), 8)
    _, days = layouts(spec, ModelSettings(window_bars=8, patch_bars=4))
    assert days.offsets == (0,)


def test_timeframes_are_told_by_the_base():
    """``rsi_14_15m`` is a longer timeframe beside minutes; on hours it is a feature like any other."""
    names = ("sigma", "rsi_14_15m", "rsi_14_1h")
    minutes = Spec(names, "sigma", (1,), (0.5,), 8, "1m").frames
    hours = Spec(names, "sigma", (1,), (0.5,), 8, "1h").frames
    assert [frame.stride_bars for frame in minutes] == [1, 15, 60]
    assert [(frame.stride_bars, frame.columns) for frame in hours] == [(1, (0, 1, 2))]


def test_feature_has_one_embedding_whatever_the_timeframe(network, windows):
    """The column ``momentum_4h`` has no weights of its own: what moves momentum's moves it too."""
    assert names_of(network.spec.frames) == ("momentum", "ewma_volatility", "range", "hour")
    tokens = network.encoder.tokens
    assert tokens.embed_KVD.shape[1] == tokens.select.read_VM.shape[0] == 4
    before = tokens_of(network, windows)
    with torch.no_grad():
        tokens.embed_KVD[-1, 0] += 1.0
    moved = (tokens_of(network, windows) - before).abs().amax(dim=(0, 2))
    assert (moved > 1e-3).all()  # four tokens of four hours, then four of the base


@pytest.mark.parametrize("kind", ["hybrid", "transformer"])
def test_later_tokens_never_reach_earlier_ones_of_their_timeframe(kind, spec, har, windows):
    """Variable selection, LSTM and attention are causal inside the base: early base tokens ignore late base bars."""
    network = shake(make_network(spec, har, windows, kind=kind, attention_layers=2)).eval()
    seen = []
    network.encoder.blocks[0].register_forward_hook(lambda _module, _inputs, token: seen.append(token.detach()))
    base = list(spec.frames[0].columns)
    changed = windows.copy()
    changed[:, 8:, base] += 2.0
    if kind == "transformer":  # through a longer timeframe it may be known: attention is full across timeframes
        network.encoder.is_seen_LL[4:, :4] = False
    with torch.inference_mode():
        network(network.inputs(torch.from_numpy(windows)))
        network(network.inputs(torch.from_numpy(changed)))
    before, after = (token[:, 4:] for token in seen)
    if kind == "transformer":
        torch.testing.assert_close(before[:, :2], after[:, :2], rtol=0, atol=0)
    assert (before[:, 2:] - after[:, 2:]).abs().max() > 1e-3


def test_mask_is_causal_inside_a_timeframe_and_full_across(network):
    seen = network.encoder.is_seen_LL.numpy()
    lower = np.tril(np.ones((4, 4), dtype=bool))
    np.testing.assert_array_equal(seen[:4, :4], lower)
    np.testing.assert_array_equal(seen[4:, 4:], lower)
    assert seen[:4, 4:].all()
    assert seen[4:, :4].all()


def test_newest_token_alone_is_what_the_whole_last_block_would_give(network, windows):
    block = shake(network).eval().encoder.blocks[0]
    token = torch.randn(5, 8, 8)
    with torch.no_grad():
        whole = block(token, network.encoder.is_seen_LL, newest=8)
        newest = block(token, network.encoder.is_seen_LL, newest=1)
    torch.testing.assert_close(newest, whole[:, -1:], rtol=1e-5, atol=1e-6)


def test_importance_starts_even_and_averages_one(network, windows):
    even = importance(network, windows)
    assert set(even["tokens"]) == set(even["last_bar"]) == set(network.spec.feature_names)
    assert all(v == pytest.approx(1.0, abs=1e-5) for of in even.values() for v in of.values())
    told = importance(shake(network), windows)
    for frame in network.spec.frames:
        mean = np.mean([told["tokens"][network.spec.feature_names[c]] for c in frame.columns])
        assert mean == pytest.approx(1.0, abs=1e-5)
    assert np.mean(list(told["last_bar"].values())) == pytest.approx(1.0, abs=1e-5)


def test_feature_that_is_voted_for_is_named_as_important(network, windows):
    with torch.no_grad():
        network.encoder.tokens.select.prior_V[2] = 3.0  # range
    told = importance(network, windows)["tokens"]
    assert told["range"] == max(told.values())
    assert told["range_4h"] > told["momentum_4h"]
