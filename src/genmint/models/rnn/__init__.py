"""Recurrent networks over symbols. Start reading at `model`."""
