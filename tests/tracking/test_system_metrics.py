"""The load of the machine is part of a run, through the reporter's queue."""

import time

import psutil
from mlflow import MlflowClient

from genmint import tracking
from genmint.tracking import reporter, system_metrics

KEY = "system/cpu_utilization_percentage"


def test_a_sample_is_taken_when_it_is_due(monkeypatch):
    load = system_metrics.SystemMetrics()
    assert load.sample() == {}
    monkeypatch.setattr(system_metrics, "_SECONDS_BETWEEN_SAMPLES", 0.0)
    load = system_metrics.SystemMetrics()
    sample = load.sample()
    assert 0 <= sample[KEY] <= 100
    assert sample["system/process_memory_usage_megabytes"] > 0
    assert all(key.startswith("system/") for key in sample)


def test_a_system_that_hides_its_load_gives_no_samples(monkeypatch):
    def denied(*_):
        raise psutil.AccessDenied

    monkeypatch.setattr(system_metrics, "_SECONDS_BETWEEN_SAMPLES", 0.0)
    monkeypatch.setattr(psutil, "virtual_memory", denied)
    assert system_metrics.SystemMetrics().sample() == {}


def test_a_run_has_samples(workshop, monkeypatch):
    monkeypatch.setattr(system_metrics, "_SECONDS_BETWEEN_SAMPLES", 0.0)
    monkeypatch.setattr(reporter, "_SECONDS_BETWEEN_SENDS", 0.05)
    with tracking.start_run(workshop.project, "tiny", {}) as run:
        deadline = time.monotonic() + 30
        while run.run_id is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        client = MlflowClient(tracking.uri(workshop.project))

        def steps():
            return {point.step for point in client.get_metric_history(run.run_id, KEY)}

        while len(steps()) < 2:
            assert time.monotonic() < deadline, steps()
            time.sleep(0.2)
        run.finish()
