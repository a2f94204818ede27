"""Generative adversarial networks. Start reading at `model`."""
