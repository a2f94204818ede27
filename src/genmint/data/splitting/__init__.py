"""Assignment of items to splits, with all copies and near-duplicates in one split.

Start with `splits` (the rules) and `assignment` (their application to a manifest).
"""
