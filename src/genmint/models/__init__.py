"""Generative families and the blocks they share."""
