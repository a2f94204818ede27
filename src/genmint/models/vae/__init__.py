"""Variational auto-encoders. Start reading at `model`."""
