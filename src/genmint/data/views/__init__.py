"""Views of prepared data as model inputs: grids (N×C×H×W) and sequences of symbols.

Start with `spec`, which describes a view, and `tensors`, which creates it.
"""
