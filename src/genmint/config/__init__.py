"""params.yaml as frozen, typed models that reject unknown keys."""

from genmint.config.base import Frozen
from genmint.config.datasets import (
    AudioDataset,
    Dataset,
    ImageDataset,
    Protocol,
    ReferenceConfig,
    Spectrogram,
    Stack,
    TextDataset,
)
from genmint.config.drift import DriftRule
from genmint.config.gates import Bound, ChampionRule, CostBudget, Gate, Health, Memorisation
from genmint.config.models import (
    BLOCKS,
    AnyModel,
    GANConfig,
    Penalty,
    RNNConfig,
    SamplingConfig,
    VAEConfig,
)
from genmint.config.models.base import (
    Augmentation,
    Batching,
    GridConfig,
    ModelConfig,
    Optimiser,
    Recovery,
    View,
)
from genmint.config.params import Params, load_params, parse_model, parse_params

__all__ = [
    "BLOCKS",
    "AnyModel",
    "AudioDataset",
    "Augmentation",
    "Batching",
    "Bound",
    "ChampionRule",
    "CostBudget",
    "Dataset",
    "DriftRule",
    "Frozen",
    "GANConfig",
    "Gate",
    "GridConfig",
    "Health",
    "ImageDataset",
    "Memorisation",
    "ModelConfig",
    "Optimiser",
    "Params",
    "Penalty",
    "Protocol",
    "RNNConfig",
    "Recovery",
    "ReferenceConfig",
    "SamplingConfig",
    "Spectrogram",
    "Stack",
    "TextDataset",
    "VAEConfig",
    "View",
    "load_params",
    "parse_model",
    "parse_params",
]
