"""Families of generative models: `vae`, `gan`, `rnn`, each a folder with its class in model.py.

`shared` holds the interface of a family (`family`), the registry of families (`families`),
networks and the files of a model. Start reading at `shared/family.py`.
"""
