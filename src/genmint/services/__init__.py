"""Servers and workers that `genmint services` keeps running on a machine.

`supervisor` starts and monitors them. `watch` handles flow runs whose process is gone. `alerts`
defines Prefect automations as code. Every process started here ends with the supervisor
(`processes`).
"""
