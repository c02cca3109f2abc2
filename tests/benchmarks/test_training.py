"""What the benchmark of training reads off a device."""

import contextlib
import os
import time

from tests.benchmarks import training


def test_samples_of_the_device_are_shares():
    assert training.sampled_shares("37\n 100 \n[N/A]\n\n0\n") == [0.37, 1.0, 0.0]


def test_a_gpu_is_sampled_while_the_work_goes_on(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 40\necho 60\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with training.utilisation() as shares:
        time.sleep(1.0)
        assert shares == []
    assert shares == [0.4, 0.6]


def test_without_one_the_cores_are_looked_at(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with training.utilisation() as shares:
        until = time.process_time() + 0.05
        while time.process_time() < until:
            pass
    (share,) = shares
    assert 0 < share <= 1


def test_views_per_second_of_every_way_are_told(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(training.time, "perf_counter", lambda: float(next(clock)))
    monkeypatch.setattr(training, "utilisation", lambda: contextlib.nullcontext([0.5]))
    monkeypatch.setattr(training, "_plain", lambda *given: lambda: None)
    monkeypatch.setattr(training, "_larun", lambda *given: lambda: next(clock))
    row = training.measure("perceptron", 8, [0] * 12, [0] * 12, 1)
    assert row["views_per_s"] == {"plain": 12, "larun": 6, "varied": 6}
    assert row["times_plain"] == {"larun": 0.5, "varied": 0.5}
    assert row["utilisation"] == {"plain": 0.5, "larun": 0.5, "varied": 0.5}
