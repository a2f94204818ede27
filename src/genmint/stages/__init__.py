"""The stages of dvc.yaml, one file each, of the same name: `run(project, params, name)`."""
