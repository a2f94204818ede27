"""The stages of dvc.yaml, one module of the same name each, with `run(project, params, name)`.

Start reading at dvc.yaml, which lists the inputs and outputs of each stage.
"""
