"""Registry of the families; docs/models.md explains how to add one."""

from __future__ import annotations

from genmint.models.gan.model import GAN
from genmint.models.rnn.model import RNN
from genmint.models.shared.family import Family
from genmint.models.vae.model import VAE

# Keys are the values of `family:` in params.yaml, as in `genmint.config.BLOCKS`.
FAMILIES: dict[str, type[Family]] = {"vae": VAE, "gan": GAN, "rnn": RNN}
