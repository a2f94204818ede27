"""genmint: train, evaluate, gate and promote generative models on your own data."""

__version__ = "0.1.0"
