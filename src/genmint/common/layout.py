"""Names of the files and folders of a project that more than one module reads or writes.

They are written as text in this module and in `project` only. dvc.yaml and stored versions have the
same names.
"""

from __future__ import annotations

# In the folder of a project.
PARAMS = "params.yaml"
GRAPH = "dvc.yaml"
LOCK = "dvc.lock"
DEPLOYMENTS = "prefect.yaml"
STATE = ".genmint"
ARTIFACTS = "mlartifacts"

# In the folder of a model.
WEIGHTS = "model.safetensors"
CONFIG = "config.json"
HISTORY = "history.csv"
HEALTH = "health.json"

# In the folder of a stored version: evaluation files, and which folder has the current ones.
EVALUATION = "evaluation"
CURRENT_EVALUATION = "evaluation-current.json"

# In the folder of prepared arrays and in that of a reference.
META = "meta.json"
EXTRACTOR = "extractor.safetensors"
EXTRACTOR_CONFIG = "extractor.json"

# In the folder of a model's samples: image, audio and text of a few samples.
SHEET = "sheet.png"
STRIP = "strip.wav"
TEXT = "text.txt"

# In the state of the repository that keeps the registry: checkouts of flows.
CHECKOUTS = "checkouts"
