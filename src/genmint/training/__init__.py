"""Training loop and its parts: batches, optimisers, checkpoints, devices, processes.

Start with `loop`; a model family provides the loss (`genmint.models.shared.family`).
"""
