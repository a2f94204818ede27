"""Model registry in MLflow: versions, aliases and the journal of champions.

Start with `registry` and `journal`. `admission` decides which version may be champion, and
`resolve_version` finds the version for an alias or a number.
"""
