"""Attention of a recurrent network over its previous states."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from genmint.models.shared.networks import Attention


class PastAttention(Attention):
    """Attention of each state over the states before it, independent of their distance.

    Over the last `window` states h_s, s ≤ t, the weights are a softmax of h_tᵀ W h_s (Luong et al.
    2015, "general", eq. 8). Their weighted sum c_t is combined with the state as
    tanh(W_c [c_t; h_t]) (eq. 5). Attention over a window of the network's own states follows
    Daniluk et al. 2017, who use an additive score. `weights` are N×T×S, over S available states.
    """

    def __init__(self, width: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.query = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(2 * width, width, bias=False)

    def forward(self, x: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        """States N×T×width, after those of `past` (N×P×width, P < window), to N×T×width in −1…1.

        Also returns the states in the window of the next ones, at most window − 1.
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
