"""The environment of a flow, prepared by importing this module: telemetry, login, proxies.

A flow is imported by Prefect, by a worker or by `python`, and not by genmint's command line, which
does the same. Prefect reads its settings when it is imported, so this module comes before it.
"""

from __future__ import annotations

import os

from genmint.common.login import hand_on
from genmint.common.loopback import bypass_proxies
from genmint.common.telemetry import switch_off

switch_off(os.environ)
hand_on(os.environ)
bypass_proxies(os.environ)
