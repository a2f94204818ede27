"""Data sources (folders, official sets, archives) and readers of their items.

Start with `sources` (meaning of a path in params.yaml) and `items` (one manifest row per item).
"""
