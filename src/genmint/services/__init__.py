"""The servers and workers that `genmint services` keeps running on a machine.

`supervisor` starts and watches them; `watch` looks after flow runs whose process is gone; `alerts`
are Prefect automations as code. Whatever is started here dies with the supervisor (`processes`).
"""
