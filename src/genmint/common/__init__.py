"""Foundation of all other packages: errors, atomic file writes, paths, git and DVC.

It imports no other package of genmint. Start with `project` (paths) and `errors`.
"""
