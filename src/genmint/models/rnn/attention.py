"""Attention of a recurrent network over its own past."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class PastAttention(nn.Module):
    """Let a state look back at those before it, however many steps of the recurrence lie between.

    Among the last `window` states h_s, s ≤ t, the weights are a softmax of h_tᵀ W h_s (Luong et al.
    2015, "general", eq. 8); their sum c_t joins the state as tanh(W_c [c_t; h_t]) (eq. 5). Over a
    window of the network's own states it is that of Daniluk et al. 2017, who score by addition.
    Attributes: `weights`, float32 N×T×S of the last pass (rows sum to 1) over the S states that it
    knew, where `keep` is set, for looking at.
    """

    def __init__(self, width: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.query = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(2 * width, width, bias=False)
        self.keep = False
        self.weights: Tensor | None = None

    def forward(self, x: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        """States N×T×width, after those of `past` (N×P×width, P < window), to N×T×width in −1…1.

        Also returns the states that the next ones still see, at most window − 1.
        """
        known = x if past is None else torch.cat([past, x], dim=1)
        number = torch.arange(known.shape[1], device=x.device)
        back = number[-x.shape[1] :, None] - number
        seen = (back >= 0) & (back < self.window)
        query = self.query(x)
        if self.keep:
            scores = (query @ known.transpose(1, 2)).masked_fill(~seen, -torch.inf)
            self.weights = scores.softmax(dim=2).detach()
        context = functional.scaled_dot_product_attention(
            query, known, known, attn_mask=seen, scale=1.0
        )
        return self.out(torch.cat([context, x], dim=2)).tanh(), known[:, 1 - self.window :]
