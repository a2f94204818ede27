"""Code that all families share: interface, registry, networks, conditioning, model files."""
