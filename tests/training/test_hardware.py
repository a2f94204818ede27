"""The device of a training run, and an NVIDIA GPU that this build of torch cannot use."""

import pytest
import torch

from genmint.config import load_params
from genmint.diagnostics.doctor import doctor
from genmint.stages import train
from genmint.training import hardware

PARAMS = """\
datasets:
  dots: {path: own, kind: image, resolution: 8}
models:
  tiny: {family: vae, dataset: dots, hidden: [4], latent: 2, steps: 2}
gates: {}
"""

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason="torch uses the GPU of this machine"
)


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    """An empty root folder in the place of this machine's; nothing on PATH."""
    folder = tmp_path / "root"
    folder.mkdir()
    monkeypatch.setattr(hardware, "ROOT", folder)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return folder


def device_file(root):
    (root / "dev").mkdir()
    (root / "dev" / "nvidia0").touch()


def driver(root):
    (root / "proc" / "driver" / "nvidia").mkdir(parents=True)
    (root / "proc" / "driver" / "nvidia" / "version").touch()


def tool(root):
    program = root.parent / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)


def test_a_machine_without_a_gpu_leaves_none_unused(root):
    # Its control device alone, as in a container without a GPU, is none.
    (root / "dev").mkdir()
    (root / "dev" / "nvidiactl").touch()
    assert hardware.unused_gpu() is None


@pytest.mark.parametrize("trace", [device_file, driver, tool])
def test_a_gpu_is_noticed_by_each_of_its_traces(root, trace, monkeypatch):
    trace(root)
    told = hardware.unused_gpu()
    assert "has an NVIDIA GPU" in told
    assert ("build without CUDA" in told) == (torch.version.cuda is None)
    for hidden in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert hardware.unused_gpu() is None


def test_a_training_run_names_its_device_first(by_hand, tmp_path, root, capfd):
    device_file(root)
    project = by_hand(tmp_path / "project", PARAMS)
    train.run(project, load_params(project.params), "tiny")
    out, err = capfd.readouterr()
    assert out.splitlines()[0] == (
        f"tiny: trains on the CPU, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    assert "tiny: this machine has an NVIDIA GPU" in err


def test_doctor_fails_where_a_gpu_is_left_unused(by_hand, tmp_path, root, capsys):
    project = by_hand(tmp_path / "project", PARAMS)
    doctor(project)
    assert "on the CPU" in capsys.readouterr().out
    device_file(root)
    assert doctor(project) == 1
    line = next(x for x in capsys.readouterr().out.splitlines() if "NVIDIA" in x)
    assert line.split()[:2] == ["failed", "device"]
