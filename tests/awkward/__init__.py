"""Awkward inputs, made by code: small files as people have them, each with what must happen."""
