"""Its settings: `test_toy_family` makes this file genmint/config/models/toy.py."""

from typing import Literal

from genmint.config.base import Kind
from genmint.config.models.base import GridConfig, Optimiser


class ToyConfig(GridConfig):
    """Independent pixels (for tests)."""

    family: Literal["toy"]
    optimiser: Optimiser = Optimiser(lr=0.05)

    @classmethod
    def likelihood_metrics(cls, kind: Kind) -> tuple[str, ...]:
        """A code length."""
        return ("bits_per_dim",)
