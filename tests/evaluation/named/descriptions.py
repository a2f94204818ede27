"""Descriptions of extractors, written as YAML."""

import json

INPUT = {"side": 28, "resize": "bicubic", "mean": [127.0] * 3, "std": [64.0] * 3}


def write_description(root, name, **changes):
    """Write data/sources/extractors/NAME.yaml; JSON is YAML."""
    content = {
        "architecture": "dinov2",
        "source": "https://example.org",
        "licence": "Apache-2.0",
        "input": INPUT,
        "features": 64,
        **changes,
    }
    path = root / "data" / "sources" / "extractors" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path
