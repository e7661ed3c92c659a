"""From a window of scaled features to one state: rows of every timeframe → variable selection → LSTM → causal attention.

Shapes: B batch, F features, F' features of one timeframe, V names of features whatever the timeframe, R rows of one
timeframe, K bars of a patch, P tokens of one timeframe, L tokens of all, D width, S state, M gate's hidden width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from heliograph.config.learning import ModelSettings
from heliograph.model.spec import Frame, Spec

GATE_WIDTH = 16


class Inputs(NamedTuple):
    """Scaled features of B windows.

    Attributes:
        sequences: for each timeframe float32[B, R, F'], the base first; the last row of each is the origin's.
        last_BF: all features of the last bar.
    """

    sequences: tuple[Tensor, ...]
    last_BF: Tensor


class Layout(NamedTuple):
    """Which rows of a window one timeframe reads.

    Attributes:
        frame: its stride, columns and names.
        offsets: of its R rows against the origin, ascending, the last is 0.
        patch_bars: rows of one token.
    """

    frame: Frame
    offsets: tuple[int, ...]
    patch_bars: int

    @property
    def tokens(self) -> int:
        """P."""
        return len(self.offsets) // self.patch_bars


def layouts(spec: Spec, settings: ModelSettings) -> tuple[Layout, ...]:
    """All base rows in patches, and of each longer timeframe its newest rows in the window, as they were known then.

    >>> spec = Spec(("sigma", "rsi_14_4h"), "sigma", (1,), (0.5,), 10)
    >>> [(l.offsets, l.tokens) for l in layouts(spec, ModelSettings(window_bars=10, patch_bars=5))]
    [((-9, -8, -7, -6, -5, -4, -3, -2, -1, 0), 2), ((-8, -4, 0), 3)]
    """
    made = []
    for frame in spec.frames:
        rows = spec.window_bars
        if frame.stride_bars > 1:
            rows = min(settings.higher_bars, (spec.window_bars - 1) // frame.stride_bars + 1)
        offsets = tuple(frame.stride_bars * (k + 1 - rows) for k in range(rows))
        made.append(Layout(frame, offsets, settings.patch_bars if frame.stride_bars == 1 else 1))
    return tuple(made)


def names_of(frames: Sequence[Frame]) -> tuple[str, ...]:
    """The V names of features of all timeframes, in order of first use."""
    return tuple(dict.fromkeys(name for frame in frames for name in frame.names))


class VariableSelection(nn.Module):
    """Softmax weights of features; a feature has one row of weights whatever the timeframe. Starts even.

    Each token is weighed by itself alone, so that no earlier one hears of a later bar.
    """

    def __init__(self, num_names: int, num_frames: int) -> None:
        super().__init__()
        self.read_VM = nn.Parameter(torch.randn(num_names, GATE_WIDTH) * num_names**-0.5)
        self.frame_KM = nn.Parameter(torch.zeros(num_frames, GATE_WIDTH))
        self.vote_VM = nn.Parameter(torch.zeros(num_names, GATE_WIDTH))
        self.prior_V = nn.Parameter(torch.zeros(num_names))

    def forward(self, mean_BPF: Tensor, frame: int, names_F: Tensor) -> Tensor:
        """Weights of the features of each token, ``[B, P, F']``, that average one."""
        hidden_BPM = functional.silu(mean_BPF @ self.read_VM[names_F] + self.frame_KM[frame])
        logit_BPF = hidden_BPM @ self.vote_VM[names_F].T + self.prior_V[names_F]
        return torch.softmax(logit_BPF.float(), dim=-1) * mean_BPF.shape[-1]


class Block(nn.Module):
    """Pre-norm self-attention under a mask and a SwiGLU layer."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.RMSNorm(width, eps=1e-6)
        self.project_in = nn.Linear(width, 3 * width, bias=False)
        self.project_out = nn.Linear(width, width, bias=False)
        self.norm_mix = nn.RMSNorm(width, eps=1e-6)
        self.mix_in = nn.Linear(width, 4 * width, bias=False)
        self.mix_out = nn.Linear(2 * width, width, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, token_BLD: Tensor, is_seen_LL: Tensor, *, newest: int) -> Tensor:
        """The newest tokens, ``[B, newest, D]``, after they have looked at those they may see."""
        told_BLD = self.norm_attention(token_BLD)
        num_batch, num_tokens, width = told_BLD.shape
        weight = self.project_in.weight  # of queries, keys and values
        query = functional.linear(told_BLD[:, -newest:], weight[:width])
        query = query.reshape(num_batch, newest, self.heads, -1).transpose(1, 2)
        rest = functional.linear(told_BLD, weight[width:]).reshape(num_batch, num_tokens, 2, self.heads, -1)
        key, value = rest.permute(2, 0, 3, 1, 4)  # each [B, heads, L, D / heads]
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=is_seen_LL[-newest:])
        token_BLD = token_BLD[:, -newest:] + self.dropout(self.project_out(seen.transpose(1, 2).flatten(2)))
        gate, mixed = self.mix_in(self.norm_mix(token_BLD)).chunk(2, dim=-1)
        out: Tensor = token_BLD + self.dropout(self.mix_out(functional.silu(gate) * mixed))
        return out


class Tokens(nn.Module):
    """Every timeframe's rows as tokens, the longest timeframe first: the LSTM reads from coarse to fine.

    A feature has one embedding, whatever the timeframe; a row of a longer timeframe is embedded as the newest bar of a
    patch is.
    """

    def __init__(self, spec: Spec, settings: ModelSettings) -> None:
        super().__init__()
        self.layouts = layouts(spec, settings)
        names = names_of(spec.frames)
        width = settings.width
        self.select = VariableSelection(len(names), len(self.layouts))
        fan_in = settings.patch_bars * len(self.layouts[0].frame.names)
        self.embed_KVD = nn.Parameter(torch.randn(settings.patch_bars, len(names), width) * fan_in**-0.5)
        self.place_LD = nn.Parameter(torch.zeros(sum(layout.tokens for layout in self.layouts), width))
        for k, layout in enumerate(self.layouts):
            index = torch.tensor([names.index(name) for name in layout.frame.names])
            self.register_buffer(f"names_{k}", index, persistent=False)

    def names(self, frame: int) -> Tensor:
        """Which of the V names the F' features of a timeframe are."""
        index: Tensor = self.get_buffer(f"names_{frame}")
        return index

    def forward(self, sequences: tuple[Tensor, ...]) -> Tensor:
        """Tokens ``[B, L, D]``."""
        made = []
        for k in reversed(range(len(self.layouts))):
            layout, x_BRF, names_F = self.layouts[k], sequences[k], self.names(k)
            x_BPKF = _patches(layout, x_BRF)
            weight_BPF = self.select(x_BPKF.mean(dim=2), k, names_F)
            embed_KFD = self.embed_KVD[-layout.patch_bars :, names_F]
            made.append((x_BPKF * weight_BPF[:, :, None]).flatten(2) @ embed_KFD.flatten(0, 1))
        return torch.cat(made, dim=1) + self.place_LD


class LastBar(nn.Module):
    """What the last bar says alone: variable selection and two layers. Most of the skill is here."""

    def __init__(self, num_features: int, settings: ModelSettings) -> None:
        super().__init__()
        self.read, self.vote = nn.Linear(num_features, GATE_WIDTH), nn.Linear(GATE_WIDTH, num_features)
        nn.init.zeros_(self.vote.weight)
        nn.init.zeros_(self.vote.bias)
        self.first = nn.Linear(num_features, settings.last_width)
        self.second = nn.Linear(settings.last_width, settings.last_width)
        self.dropout = nn.Dropout(settings.dropout)

    def weights(self, last_BF: Tensor) -> Tensor:
        """Weights of the features, ``[B, F]``, that average one."""
        logit_BF = self.vote(functional.silu(self.read(last_BF)))
        return torch.softmax(logit_BF.float(), dim=-1) * last_BF.shape[-1]

    def forward(self, last_BF: Tensor) -> Tensor:
        """Its share of the state, ``[B, last_width]``."""
        hidden = self.dropout(functional.silu(self.first(last_BF * self.weights(last_BF))))
        return functional.silu(self.second(hidden))


class Encoder(nn.Module):
    """The state of a window: its newest base token, joined with what the last bar alone says.

    ``settings.kind`` leaves a part out: ``lstm`` has no attention, ``transformer`` no LSTM.
    """

    is_seen_LL: Tensor

    def __init__(self, spec: Spec, settings: ModelSettings) -> None:
        super().__init__()
        width, num_features = settings.width, len(spec.feature_names)
        self.tokens = Tokens(spec, settings)
        has_lstm = settings.kind != "transformer"
        self.lstm = nn.LSTM(width, width, settings.lstm_layers, batch_first=True) if has_lstm else None
        self.lstm_gate = nn.Linear(width, width) if has_lstm else None
        depth = settings.attention_layers if settings.kind != "lstm" else 0
        self.blocks = nn.ModuleList(Block(width, settings.attention_heads, settings.dropout) for _ in range(depth))
        self.norm = nn.RMSNorm(width, eps=1e-6)
        self.last = LastBar(num_features, settings)
        self.dropout = nn.Dropout(settings.dropout)
        self.register_buffer("is_seen_LL", _is_seen(self.tokens.layouts), persistent=False)

    @staticmethod
    def state_width(settings: ModelSettings) -> int:
        """S."""
        return settings.width + settings.last_width

    def weights(self, inputs: Inputs) -> tuple[tuple[Tensor, ...], Tensor]:
        """How much each feature counts: of the tokens of every timeframe ``[B, P, F']``, and of the last bar ``[B, F]``."""
        tokens = self.tokens
        of_tokens = []
        for k, (layout, x_BRF) in enumerate(zip(tokens.layouts, inputs.sequences, strict=True)):
            mean_BPF = _patches(layout, x_BRF).mean(dim=2)
            of_tokens.append(tokens.select(mean_BPF, k, tokens.names(k)))
        return tuple(of_tokens), self.last.weights(inputs.last_BF)

    def forward(self, inputs: Inputs) -> Tensor:
        """Scaled features in, state ``[B, S]`` out."""
        token_BLD = self.tokens(inputs.sequences)
        if self.lstm is not None and self.lstm_gate is not None:
            hidden_BLD, _ = self.lstm(token_BLD)
            token_BLD = token_BLD + torch.sigmoid(self.lstm_gate(token_BLD)) * hidden_BLD
        for depth, block in enumerate(self.blocks, start=1):  # nothing reads but the newest token of the last block
            newest = 1 if depth == len(self.blocks) else token_BLD.shape[1]
            token_BLD = block(token_BLD, self.is_seen_LL, newest=newest)
        out: Tensor = self.dropout(torch.cat([self.norm(token_BLD[:, -1]), self.last(inputs.last_BF)], dim=-1))
        return out


def _patches(layout: Layout, x_BRF: Tensor) -> Tensor:
    """``[B, P, K, F']``."""
    return x_BRF.reshape(x_BRF.shape[0], layout.tokens, layout.patch_bars, x_BRF.shape[-1])


def _is_seen(of: Sequence[Layout]) -> Tensor:
    """bool[L, L]: a token sees those of its own timeframe up to itself, and all of the others."""
    frame_L = torch.tensor([k for k in reversed(range(len(of))) for _ in range(of[k].tokens)])
    place_L = torch.arange(frame_L.numel())
    return (frame_L[:, None] != frame_L[None]) | (place_L[:, None] >= place_L[None])
