"""What becomes of `pip freeze` in requirements/constraints.txt."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "lock.py"


def locked(tmp_path, upper_bounds, frozen):
    (tmp_path / "requirements").mkdir(exist_ok=True)
    (tmp_path / "requirements/constraints.in").write_text(upper_bounds)
    done = subprocess.run(
        [sys.executable, SCRIPT],
        cwd=tmp_path, input=frozen, text=True, capture_output=True, check=True,
    )  # fmt: skip
    return [line for line in done.stdout.splitlines() if not line.startswith("#")]


def test_a_pin_that_this_interpreter_did_not_need_is_kept(tmp_path):
    pins = "# older ones want it\nasync-timeout==5.0.1\nmlflow<3.18\n"
    assert locked(tmp_path, pins, "mlflow==3.17.0\n") == ["async-timeout==5.0.1", "mlflow==3.17.0"]


def test_what_was_installed_is_written_without_its_build(tmp_path):
    assert locked(tmp_path, "torch==2.13.0\n", "torch==2.13.0+cpu\n") == ["torch==2.13.0"]


def test_packages_of_cuda_are_left_free(tmp_path):
    frozen = "nvidia-cublas==13.1\nPillow==12.0.0\ntriton==3.7.0\ncuda-bindings==13.0\n"
    assert locked(tmp_path, "", frozen) == ["Pillow==12.0.0"]
