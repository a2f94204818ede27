"""Data pipeline: from source files to arrays of splits.

`ingestion` reads sources into a manifest. `validation` decides which items are valid. `splitting`
assigns items to splits. `packing` writes arrays and `prepared` opens them. `views` converts them
into model inputs.
"""
