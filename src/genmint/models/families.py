"""The table of families. A new one is its own file here, one entry, and its block's fields."""

from __future__ import annotations

from genmint.models.family import Family
from genmint.models.gan import GAN
from genmint.models.rnn import RNN
from genmint.models.vae import VAE

# By the name that `family:` has in params.yaml.
FAMILIES: dict[str, type[Family]] = {"vae": VAE, "gan": GAN, "rnn": RNN}
