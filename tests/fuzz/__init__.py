"""Mutated inputs over all parsers: nothing but genmint's own errors, in bounded time and memory."""
