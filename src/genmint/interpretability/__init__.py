"""Views of what a trained model has learnt: latents, attention, surprisal.

Each file computes one view of a model; `genmint.reporting.explore` makes the page.
"""
