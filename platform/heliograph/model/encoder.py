"""From a window of scaled features to one state: patches → variable selection → LSTM → causal attention.

Shapes: B batch, T bars, F features, P patches, K bars of a patch, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from heliograph.config.settings import ModelSettings


class VariableSelection(nn.Module):
    """Weighs the features of each patch by a softmax gate that sees this patch alone; starts even."""

    def __init__(self, num_features: int, patch_bars: int) -> None:
        super().__init__()
        self.gate = nn.Linear(patch_bars * num_features, num_features)
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)

    def forward(self, x_BPKF: Tensor) -> Tensor:
        """The same shape, each feature times its weight; the weights of a patch average one."""
        weight_BPF = torch.softmax(self.gate(x_BPKF.flatten(2)), dim=-1) * x_BPKF.shape[-1]
        return x_BPKF * weight_BPF[:, :, None, :]


class Block(nn.Module):
    """Pre-norm causal self-attention and a SwiGLU layer."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.RMSNorm(width)
        self.project_in = nn.Linear(width, 3 * width, bias=False)
        self.project_out = nn.Linear(width, width, bias=False)
        self.norm_mix = nn.RMSNorm(width)
        self.mix_in = nn.Linear(width, 4 * width, bias=False)
        self.mix_out = nn.Linear(2 * width, width, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, token_BPD: Tensor) -> Tensor:
        """Tokens that have looked at themselves and at earlier tokens."""
        qkv = self.project_in(self.norm_attention(token_BPD)).unflatten(-1, (3, self.heads, -1))
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each [B, heads, P, D / heads]
        seen = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        token_BPD = token_BPD + self.dropout(self.project_out(seen.transpose(1, 2).flatten(2)))
        gate, mixed = self.mix_in(self.norm_mix(token_BPD)).chunk(2, dim=-1)
        out: Tensor = token_BPD + self.dropout(self.mix_out(functional.silu(gate) * mixed))
        return out


class Encoder(nn.Module):
    """The state of a window: its last token, joined with what the last bar alone says.

    ``settings.kind`` leaves a part out: ``lstm`` has no attention, ``transformer`` no LSTM.
    """

    def __init__(self, num_features: int, settings: ModelSettings) -> None:
        super().__init__()
        width = settings.width
        self.patch_bars = settings.patch_bars
        self.select = VariableSelection(num_features, settings.patch_bars)
        self.embed = nn.Linear(settings.patch_bars * num_features, width)
        self.position = nn.Parameter(torch.zeros(settings.window_bars // settings.patch_bars, width))
        self.lstm = (
            nn.LSTM(width, width, settings.lstm_layers, batch_first=True) if settings.kind != "transformer" else None
        )
        self.lstm_gate = nn.Linear(width, width) if settings.kind != "transformer" else None
        depth = settings.attention_layers if settings.kind != "lstm" else 0
        self.blocks = nn.ModuleList(Block(width, settings.attention_heads, settings.dropout) for _ in range(depth))
        self.norm = nn.RMSNorm(width)
        self.last_bar = nn.Sequential(
            nn.Linear(num_features, 2 * width),
            nn.SiLU(),
            nn.Dropout(settings.dropout),
            nn.Linear(2 * width, width),
            nn.SiLU(),
        )
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, x_BTF: Tensor) -> Tensor:
        """Scaled features in, state ``[B, 2 D]`` out."""
        x_BPKF = x_BTF.reshape(x_BTF.shape[0], -1, self.patch_bars, x_BTF.shape[-1])
        token_BPD = self.embed(self.select(x_BPKF).flatten(2)) + self.position
        if self.lstm is not None and self.lstm_gate is not None:
            hidden_BPD, _ = self.lstm(token_BPD)
            token_BPD = token_BPD + torch.sigmoid(self.lstm_gate(token_BPD)) * hidden_BPD
        for block in self.blocks:
            token_BPD = block(token_BPD)
        state = torch.cat([self.norm(token_BPD[:, -1]), self.last_bar(x_BTF[:, -1])], dim=-1)
        out: Tensor = self.dropout(state)
        return out
