"""The network as an ONNX graph, and ONNX Runtime that runs it: a third of a millisecond for the bar that just closed.

The graph is written from the weights, in milliseconds, whenever a process needs it, so that none can be out of step with
its checkpoint; `write` keeps one for runtimes elsewhere. It takes raw windows ``x_BTF`` of any batch and gives
``z_BHQ`` (standard quantiles, double), ``setup_BHC``, ``direction_BH`` and ``log_vol_BH``; the scale stays outside.

Shapes: B batch, T bars, F features, F' features of one timeframe, R rows of one timeframe, K bars of a patch, P tokens of
one timeframe, L tokens of all, D width, H horizons, Q levels, G gaps between them, C setups.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime  # type: ignore[import-untyped]
from onnx import helper, numpy_helper
from torch import Tensor

from heliograph.model.encoder import Block, Layout
from heliograph.model.heads import REACH, Companion
from heliograph.model.network import CLIP, Network
from heliograph.model.spec import SETUPS, SIGMA_FLOOR

Array = npt.NDArray[Any]

FILE = "network.onnx"

_OPSET = 17
_IR = 9
_BATCH = 2_048


class Said(NamedTuple):
    """What `heliograph.model.heads.Output` holds, as arrays."""

    z_BHQ: npt.NDArray[np.float64]
    setup_BHC: npt.NDArray[np.float32]
    direction_BH: npt.NDArray[np.float32]
    log_vol_BH: npt.NDArray[np.float32]


class Runtime:
    """One session on one thread; answers as the network in eval mode does, to 1e-5."""

    def __init__(self, network: Network) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(export(network), options, providers=["CPUExecutionProvider"])

    def run(self, x_BTF: npt.NDArray[np.float32]) -> Said:
        """Raw windows in; large batches are cut."""
        parts = [self._run(x_BTF[start : start + _BATCH]) for start in range(0, max(x_BTF.shape[0], 1), _BATCH)]
        return parts[0] if len(parts) == 1 else Said(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _run(self, x_BTF: npt.NDArray[np.float32]) -> Said:
        return Said(*self._session.run(None, {"x_BTF": np.ascontiguousarray(x_BTF)}))


def write(folder: Path, network: Network) -> Path:
    """Keep the graph beside a checkpoint; returns the file."""
    path = folder / FILE
    draft = path.with_suffix(".part")
    draft.write_bytes(export(network))
    draft.replace(path)
    return path


def export(network: Network) -> bytes:
    """The graph as a file's bytes."""
    graph = _Graph()
    state, last = _encoded(graph, network)
    outputs = [
        graph.named(name, value) for name, value in zip(Said._fields, _heads(graph, network, state, last), strict=True)
    ]
    kinds = [onnx.TensorProto.DOUBLE, *[onnx.TensorProto.FLOAT] * 3]
    num_horizons, num_levels = network.base_HQ.shape
    shapes = [(num_horizons, num_levels), (num_horizons, len(SETUPS)), (num_horizons,), (num_horizons,)]
    x_shape: list[str | int | None] = ["B", network.spec.window_bars, len(network.spec.feature_names)]
    made = helper.make_graph(
        graph.nodes,
        "heliograph",
        [helper.make_tensor_value_info("x_BTF", onnx.TensorProto.FLOAT, x_shape)],
        [
            helper.make_tensor_value_info(name, kind, ["B", *shape])
            for name, kind, shape in zip(outputs, kinds, shapes, strict=True)
        ],
        graph.constants,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
    body: bytes = model.SerializeToString()
    return body


class _Graph:
    """Nodes and constants, in the order in which they are asked for."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def op(self, kind: str, *inputs: str | Array | Tensor, **attributes: Any) -> str:
        """A node's (first) output; arrays among its inputs become constants."""
        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        output = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, names, [output], **attributes))
        return output

    def constant(self, value: Array | Tensor) -> str:
        """A constant's name."""
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
        self.constants.append(numpy_helper.from_array(np.asarray(array, order="C"), f"c{len(self.constants)}"))
        return self.constants[-1].name

    def named(self, name: str, value: str) -> str:
        """The same value under the name of an output."""
        self.nodes.append(helper.make_node("Identity", [value], [name]))
        return name

    def linear(self, x: str, weight: Tensor, bias: Tensor | None = None) -> str:
        """As `torch.nn.functional.linear`."""
        made = self.op("MatMul", x, weight.detach().T)
        return made if bias is None else self.op("Add", made, bias)

    def silu(self, x: str) -> str:
        """x · sigmoid(x)."""
        return self.op("Mul", x, self.op("Sigmoid", x))

    def rms_norm(self, x: str, weight: Tensor) -> str:
        """As `torch.nn.RMSNorm` with an epsilon of 1e-6."""
        mean = self.op("ReduceMean", self.op("Mul", x, x), axes=[-1])
        root = self.op("Sqrt", self.op("Add", mean, np.array([1e-6], dtype=np.float32)))
        return self.op("Mul", self.op("Div", x, root), weight)

    def rows(self, x: str, first: int, last: int, step: int = 1, *, axis: int = 1) -> str:
        """``x[first:last:step]`` along an axis."""
        return self.op("Slice", x, *(np.array([k], dtype=np.int64) for k in (first, last, axis, step)))

    def shaped(self, x: str, *shape: int) -> str:
        """Reshaped; one length may be −1."""
        return self.op("Reshape", x, np.array(shape, dtype=np.int64))


def _order(network: Network, layout: Layout) -> list[int]:
    """The columns of one timeframe, the volatility first: it alone is read in logs."""
    sigma = network.spec.sigma_index
    return sorted(layout.frame.columns, key=lambda column: column != sigma)


def _scaled(graph: _Graph, network: Network, layout: Layout) -> str:
    """float32[B, R, F'] on one scale, columns as in `_order`."""
    order, bars = _order(network, layout), network.spec.window_bars
    x = "x_BTF"
    if len(layout.offsets) < bars:
        x = graph.rows(x, bars - 1 + layout.offsets[0], bars, layout.frame.stride_bars)
    if order[0] == network.spec.sigma_index:
        sigma = graph.op("Gather", x, np.array(order[:1]), axis=2)
        logged = graph.op("Log", graph.op("Max", sigma, np.array([SIGMA_FLOOR], dtype=np.float32)))
        if len(order) > 1:
            logged = graph.op("Concat", logged, graph.op("Gather", x, np.array(order[1:]), axis=2), axis=2)
        x = logged
    else:
        x = graph.op("Gather", x, np.array(order), axis=2)
    centred = graph.op("Div", graph.op("Sub", x, network.median_F[order]), network.spread_F[order])
    return graph.op("Clip", centred, np.array(-CLIP, dtype=np.float32), np.array(CLIP, dtype=np.float32))


def _tokens(graph: _Graph, network: Network, frame: int, x: str) -> str:
    """float32[B, P, D] of one timeframe."""
    tokens = network.encoder.tokens
    layout, select = tokens.layouts[frame], tokens.select
    place = {column: k for k, column in enumerate(layout.frame.columns)}
    chosen = tokens.names(frame)[[place[column] for column in _order(network, layout)]]
    num_tokens, bars, width = layout.tokens, layout.patch_bars, len(chosen)
    patches, mean = x, x
    if bars > 1:
        patches = graph.shaped(x, -1, num_tokens, bars, width)
        mean = graph.op("ReduceMean", patches, axes=[2], keepdims=0)
    hidden = graph.silu(graph.op("Add", graph.op("MatMul", mean, select.read_VM[chosen]), select.frame_KM[frame]))
    logit = graph.op("Add", graph.op("MatMul", hidden, select.vote_VM[chosen].T), select.prior_V[chosen])
    weight = graph.op("Softmax", logit, axis=-1)
    if bars > 1:
        weight = graph.shaped(weight, -1, num_tokens, 1, width)
    weighed = graph.op("Mul", patches, weight)
    if bars > 1:
        weighed = graph.shaped(weighed, -1, num_tokens, bars * width)
    return graph.op("MatMul", weighed, width * tokens.embed_KVD[-bars:, chosen].flatten(0, 1))


def _encoded(graph: _Graph, network: Network) -> tuple[str, str]:
    """The state, float32[B, S], and the last bar's features, the base's first, float32[B, F]."""
    encoder = network.encoder
    layouts = encoder.tokens.layouts
    scaled = [_scaled(graph, network, layout) for layout in layouts]
    made = [_tokens(graph, network, k, scaled[k]) for k in reversed(range(len(layouts)))]
    joined = graph.op("Concat", *made, axis=1) if len(made) > 1 else made[0]
    token = graph.op("Add", joined, encoder.tokens.place_LD)
    if encoder.lstm is not None and encoder.lstm_gate is not None:
        gate = graph.op("Sigmoid", graph.linear(token, encoder.lstm_gate.weight, encoder.lstm_gate.bias))
        token = graph.op("Add", token, graph.op("Mul", gate, _lstm(graph, network, token)))
    for depth, block in enumerate(encoder.blocks, start=1):
        assert isinstance(block, Block)
        token = _block(graph, block, token, ~encoder.is_seen_LL, is_last=depth == len(encoder.blocks))
    newest = graph.op("Gather", token, np.array(-1), axis=1)
    last_of = [graph.op("Gather", x, np.array(-1), axis=1) for x in scaled]
    last = graph.op("Concat", *last_of, axis=1) if len(last_of) > 1 else last_of[0]
    order = _last_order(network)
    read, vote, first, second = encoder.last.read, encoder.last.vote, encoder.last.first, encoder.last.second
    logit = graph.linear(
        graph.silu(graph.linear(last, read.weight[:, order], read.bias)), vote.weight[order], vote.bias[order]
    )
    weighed = graph.op("Mul", last, graph.op("Softmax", logit, axis=-1))
    hidden = graph.silu(graph.linear(weighed, len(order) * first.weight[:, order], first.bias))
    alone = graph.silu(graph.linear(hidden, second.weight, second.bias))
    return graph.op("Concat", graph.rms_norm(newest, encoder.norm.weight), alone, axis=1), last


def _last_order(network: Network) -> list[int]:
    return [column for layout in network.encoder.tokens.layouts for column in _order(network, layout)]


def _lstm(graph: _Graph, network: Network, token: str) -> str:
    """float32[B, L, D]: the hidden states; ONNX keeps the gates as input, output, forget, cell, torch as i, f, g, o."""
    lstm = network.encoder.lstm
    assert lstm is not None
    width = lstm.hidden_size
    hidden = graph.op("Transpose", token, perm=[1, 0, 2])
    for layer in range(lstm.num_layers):
        taken = [
            getattr(lstm, f"{name}_l{layer}").detach().numpy()
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        ]
        w, r, *biases = (np.concatenate([part[k * width : (k + 1) * width] for k in (0, 3, 1, 2)]) for part in taken)
        all_steps = graph.op("LSTM", hidden, w[None], r[None], np.concatenate(biases)[None], hidden_size=width)
        hidden = graph.op("Squeeze", all_steps, np.array([1]))
    return graph.op("Transpose", hidden, perm=[1, 0, 2])


def _block(graph: _Graph, block: Block, token: str, is_hidden_LL: Tensor, *, is_last: bool) -> str:
    """As `heliograph.model.encoder.Block`; of the last block the newest token alone."""
    num_tokens, width = is_hidden_LL.shape[0], block.norm_mix.weight.shape[0]
    newest, each = (1 if is_last else num_tokens), width // block.heads
    told = graph.rms_norm(token, block.norm_attention.weight)
    if is_last:
        token = graph.rows(token, num_tokens - 1, num_tokens)
    asking = graph.rows(told, num_tokens - 1, num_tokens) if is_last else told
    query_weight, key_weight, value_weight = block.project_in.weight.chunk(3)
    query, key, value = (
        graph.op("Transpose", graph.shaped(graph.linear(x, weight), -1, rows, block.heads, each), perm=perm)
        for x, weight, rows, perm in (
            (asking, query_weight * each**-0.5, newest, [0, 2, 1, 3]),
            (told, key_weight, num_tokens, [0, 2, 3, 1]),
            (told, value_weight, num_tokens, [0, 2, 1, 3]),
        )
    )
    score = graph.op("MatMul", query, key)
    if not is_last:  # the newest token may see all
        score = graph.op("Add", score, np.where(is_hidden_LL.numpy(), np.float32(-1e9), np.float32(0)))
    seen = graph.op("Transpose", graph.op("MatMul", graph.op("Softmax", score, axis=-1), value), perm=[0, 2, 1, 3])
    token = graph.op("Add", token, graph.linear(graph.shaped(seen, -1, newest, width), block.project_out.weight))
    told = graph.rms_norm(token, block.norm_mix.weight)
    gate, mixed = (graph.linear(told, part) for part in block.mix_in.weight.chunk(2))
    return graph.op("Add", token, graph.linear(graph.op("Mul", graph.silu(gate), mixed), block.mix_out.weight))


def _heads(graph: _Graph, network: Network, state: str, last: str) -> tuple[str, str, str, str]:
    """The four outputs."""
    num_horizons, num_levels = network.base_HQ.shape
    num_gaps, middle = num_levels - 1, (num_levels - 1) // 2
    linear = network.heads.linear
    weight = linear.weight.detach().reshape(num_horizons, -1, linear.in_features)
    bias = linear.bias.detach().reshape(num_horizons, -1)
    common = num_gaps
    width_weight, width_bias = (p[:, :num_gaps] + p[:, common : common + 1] for p in (weight, bias))
    raw = graph.linear(state, width_weight.flatten(0, 1), width_bias.flatten())
    log_width = _saturated(graph, graph.shaped(raw, -1, num_horizons, num_gaps))
    shift = _saturated(graph, graph.linear(state, weight[:, common + 1], bias[:, common + 1]))
    log_vol = graph.linear(state, weight[:, common + 2], bias[:, common + 2])
    gap = graph.op("Mul", graph.op("Exp", log_width), network.base_HQ.diff(dim=-1))
    median = graph.shaped(graph.op("Add", shift, network.base_HQ[:, middle]), -1, num_horizons, 1)
    axis = np.array(2, dtype=np.int64)
    below = graph.op("CumSum", graph.rows(gap, 0, middle, axis=2), axis, reverse=1)
    above = graph.op("CumSum", graph.rows(gap, middle, num_gaps, axis=2), axis)
    z = graph.op("Concat", graph.op("Sub", median, below), median, graph.op("Add", median, above), axis=2)
    setup, direction = (_companion(graph, network, name, state, last) for name in ("setup", "direction"))
    return z, graph.shaped(setup, -1, num_horizons, len(SETUPS)), direction, log_vol


def _saturated(graph: _Graph, x: str) -> str:
    """±REACH · tanh(x / REACH), double."""
    reach = np.array([REACH])
    return graph.op(
        "Mul", graph.op("Tanh", graph.op("Div", graph.op("Cast", x, to=onnx.TensorProto.DOUBLE), reach)), reach
    )


def _companion(graph: _Graph, network: Network, name: str, state: str, last: str) -> str:
    companion = network.companions[name]
    assert isinstance(companion, Companion)
    weight = companion.hidden.weight.detach()
    order, width = _last_order(network), weight.shape[1] - len(_last_order(network))
    of_state, of_last = weight[:, :width], weight[:, width:][:, order]
    hidden = graph.op("Add", graph.linear(state, of_state), graph.linear(last, of_last, companion.hidden.bias))
    return graph.linear(graph.silu(hidden), companion.out.weight, companion.out.bias)
