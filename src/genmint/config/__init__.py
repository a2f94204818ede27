"""params.yaml as frozen, typed models that refuse what they do not know."""

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
    Augmentation,
    GANConfig,
    ModelConfig,
    Optimiser,
    Penalty,
    Recovery,
    RNNConfig,
    SamplingConfig,
    VAEConfig,
)
from genmint.config.params import Params, load_params, parse_model, parse_params

__all__ = [
    "AudioDataset",
    "Augmentation",
    "Bound",
    "ChampionRule",
    "CostBudget",
    "Dataset",
    "DriftRule",
    "Frozen",
    "GANConfig",
    "Gate",
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
    "load_params",
    "parse_model",
    "parse_params",
]
