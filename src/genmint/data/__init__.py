"""Data: sources, manifest, validation, packing, and the views that models train on."""
