"""View of the runs that is saved in MLflow's experiment: columns and charts.

MLflow keeps a saved view as a tag of the experiment and lists it under "Views". Charts that it
makes itself have one metric each.
"""

from __future__ import annotations

import json
from typing import Any

from genmint.common.tags import ENTRY_VERSION_TAGS, GIT_COMMIT_TAG, VERDICT_TAG

# The key in links, and the name in MLflow's list.
VIEW = "genmint"
VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"

# Losses first, then what has no group (`chart_keys`); MLflow adds the groups behind these.
_SECTIONS = ("Loss", "Model metrics")
_LOSSES = ["train_loss", "validation_loss"]
_COLUMNS = (VERDICT_TAG, ENTRY_VERSION_TAGS["version"], GIT_COMMIT_TAG)
_RUNS = 10


def saved_view(time_ms: int) -> str:
    """Return the value of the tag `VIEW_TAG`, in MLflow's own form.

    Args:
        time_ms: current time in milliseconds since the epoch.
    """
    sections = [
        {"uuid": name, "name": name, "display": True, "isReordered": True} for name in _SECTIONS
    ]
    state = {
        "selectedColumns": [f"tags.`{tag}`" for tag in _COLUMNS],
        "compareRunCharts": [_losses(_SECTIONS[0])],
        "compareRunSections": sections,
        # Otherwise MLflow sorts the sections by name.
        "isAccordionReordered": True,
    }
    view = {"name": VIEW, "createdAt": time_ms, "updatedAt": time_ms, "state": json.dumps(state)}
    return json.dumps(view)


def _losses(section: str) -> dict[str, Any]:
    """Return a chart with the losses of training and validation."""
    return {
        "uuid": "losses",
        "type": "LINE",
        "metricSectionId": section,
        "metricKey": _LOSSES[0],
        "selectedMetricKeys": _LOSSES,
        "runsCountToCompare": _RUNS,
        "deleted": False,
        "isGenerated": False,
        "lineSmoothness": 0,
        "xAxisKey": "step",
        "selectedXAxisMetricKey": "",
        "xAxisScaleType": "linear",
        "scaleType": "linear",
        "range": {},
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "ignoreOutliers": False,
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
    }
