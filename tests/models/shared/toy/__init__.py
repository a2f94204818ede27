"""A family of independent pixels. `test_toy_family` copies this folder to genmint/models/toy."""
