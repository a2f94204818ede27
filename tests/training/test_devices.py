import os
import shutil
import subprocess
import sys

import pytest
import torch

from genmint.common.errors import ConfigError
from genmint.models.shared.store import build
from genmint.training import devices
from genmint.training.devices import (
    choose_device,
    resolve_channels_last,
    resolve_compile,
    resolve_precision,
    share_cores,
)
from genmint.training.loop import TrainingOptions, fit

CPU, GPU = torch.device("cpu"), torch.device("cuda")
LONG = 20_000


@pytest.fixture(autouse=True)
def nobody_says_anything(monkeypatch):
    names = ("OMP_NUM_THREADS", "GENMINT_WORKERS", "CC", "CXX")
    torchrun = ("TORCHELASTIC_RUN_ID", "LOCAL_WORLD_SIZE", "LOCAL_RANK")
    for name in names + torchrun:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def gpu(monkeypatch):
    def has(*, bf16=True, gpus=2):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: bf16)

    return has


@pytest.mark.parametrize("name", ["vae", "gan", "rnn-items", "rnn-stream"])
@pytest.mark.parametrize("asked", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("device", [CPU, GPU])
def test_a_precision_that_was_asked_for_is_what_it_is(case, gpu, name, asked, device):
    gpu(bf16=False)
    # There is a GRU in every precision everywhere.
    cell = {"cell": "gru"} if name.startswith("rnn") else {}
    assert resolve_precision(case(name, precision=asked, **cell)[0], device) == asked


@pytest.mark.parametrize("asked", ["bf16", "fp16"])
def test_an_lstm_that_the_processor_does_not_have_is_refused(case, gpu, monkeypatch, asked):
    tried = []

    def lacks(self, x):
        tried.append((torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")))
        if tried[-1][0]:
            raise RuntimeError("could not create a primitive descriptor")

    monkeypatch.setattr(torch.nn.LSTM, "forward", lacks)
    gpu()
    config = case("rnn-stream", precision=asked)[0]
    before = torch.get_rng_state()
    with pytest.raises(ConfigError, match=f"precision: {asked}: this processor has no LSTM"):
        resolve_precision(config, CPU)
    assert tried == [(True, {"bf16": torch.bfloat16, "fp16": torch.float16}[asked])]
    assert torch.equal(torch.get_rng_state(), before)
    assert resolve_precision(config, GPU) == asked
    for fine in (case("rnn-stream", precision="fp32"), case("rnn-stream"), case("vae")):
        resolve_precision(fine[0], CPU)


def test_what_precision_is_said_to_do_it_does(case):
    """Either the processor has it, or the user hears that it has not: no training breaks off."""
    for asked in ("fp32", "bf16", "fp16"):
        config, spec, train, validation = case("rnn-stream", precision=asked, steps=1)
        try:
            precision = resolve_precision(config, CPU)
        except ConfigError:
            continue
        options = TrainingOptions(precision=precision)
        fit("tiny", build(config, spec), config, train, validation, options=options)


@pytest.mark.parametrize(
    ("amx", "avx512"), [(False, False), (True, False), (False, True), (True, True)]
)
@pytest.mark.parametrize("bf16", [False, True])
def test_auto_is_bf16_where_it_pays_and_the_device_multiplies_it(
    case, gpu, monkeypatch, amx, avx512, bf16
):
    gpu(bf16=bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    for name in ("rnn-items", "rnn-stream"):
        assert resolve_precision(case(name)[0], CPU) == ("bf16" if amx or avx512 else "fp32")
        assert resolve_precision(case(name)[0], GPU) == ("bf16" if bf16 else "fp32")
    for name, network in (("vae", "conv"), ("gan", "dcgan")):
        inside_out = {"network": network, "hidden": [4, 4], "channels_last": True}
        config = case(name, **inside_out)[0]
        assert resolve_precision(config, CPU) == ("bf16" if amx or avx512 else "fp32")
        assert resolve_precision(config, GPU) == ("bf16" if bf16 else "fp32")
        left_open = case(name, network=network, hidden=[4, 4])[0]
        assert resolve_precision(left_open, CPU) == ("bf16" if amx or avx512 else "fp32")
        for plain in ({"channels_last": False}, {"network": "mlp"}):
            config = case(name, **{**inside_out, **plain})[0]
            assert resolve_precision(config, CPU) == "fp32"
            assert resolve_precision(config, GPU) == "fp32"


@pytest.mark.parametrize(
    ("changes", "precision", "wanted"),
    [
        ({"network": "conv"}, "bf16", True),
        ({"network": "conv"}, "fp32", False),
        ({"network": "conv", "channels_last": False}, "bf16", False),
        ({"network": "conv", "channels_last": True}, "fp32", True),
        ({"network": "mlp"}, "bf16", False),
    ],
)
def test_auto_has_the_channels_innermost_where_convolutions_are_in_bf16(
    case, changes, precision, wanted
):
    config = case("vae", hidden=[4, 4], **{"channels_last": "auto", **changes})[0]
    assert resolve_channels_last(config, precision) is wanted


@pytest.fixture
def programs(monkeypatch):
    """Names of programs that are on the path of a machine where translating pays."""
    found = {"g++", "gcc"}
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    monkeypatch.setattr(shutil, "which", lambda name: name if name in found else None)
    monkeypatch.setattr(devices.sys, "platform", "linux")
    return found


@pytest.mark.parametrize(
    ("name", "changes", "wanted"),
    [
        ("vae", {"steps": LONG}, True),
        ("vae", {"steps": LONG - 1}, False),
        ("vae", {"steps": LONG, "network": "conv", "hidden": [4]}, False),
        ("gan", {"steps": LONG}, False),
        ("rnn-items", {"steps": LONG}, False),
        ("vae", {"steps": LONG, "compile": False}, False),
        ("vae", {"steps": 1, "compile": True}, True),
        ("gan", {"steps": 1, "compile": True}, True),
    ],
)
@pytest.mark.parametrize("device", [CPU, GPU])
def test_auto_compiles_long_training_runs_of_small_layers(
    case, programs, name, changes, wanted, device
):
    assert resolve_compile(case(name, **changes)[0], device) is wanted


@pytest.mark.parametrize(
    ("device", "there", "said", "wanted"),
    [
        (CPU, {"gcc"}, {}, False),
        (CPU, {"clang++"}, {"CXX": "clang++"}, True),
        (CPU, {"g++"}, {"CXX": "clang++"}, False),
        (GPU, {"g++"}, {}, False),
        (GPU, {"clang"}, {}, True),
        (GPU, {"gcc"}, {"CC": "icx"}, False),
    ],
)
def test_without_a_compiler_auto_is_no_and_true_is_an_error(
    case, programs, monkeypatch, device, there, said, wanted
):
    programs.clear()
    programs.update(there)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    assert resolve_compile(case("vae", steps=LONG)[0], device) is wanted
    asked = case("vae", compile=True)[0]
    if wanted:
        assert resolve_compile(asked, device)
    else:
        with pytest.raises(ConfigError, match=r"compile: true needs .*python3-dev"):
            resolve_compile(asked, device)


def test_without_the_headers_of_python_there_is_no_compiler(case, programs, monkeypatch, tmp_path):
    monkeypatch.setattr(devices.sysconfig, "get_path", lambda name: str(tmp_path))
    assert not resolve_compile(case("vae", steps=LONG)[0], CPU)


def test_auto_compiles_on_a_cpu_only_where_it_was_seen_to_pay(case, programs, monkeypatch):
    long = case("vae", steps=LONG)[0]
    assert resolve_compile(long, CPU)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert not resolve_compile(long, CPU)
    assert resolve_compile(long, GPU)
    assert resolve_compile(case("vae", steps=10, compile=True)[0], CPU)


@pytest.fixture
def cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(12)), raising=False)


@pytest.mark.parametrize(
    ("said", "threads"),
    [
        ({}, 12),
        ({"GENMINT_WORKERS": "1"}, 12),
        ({"GENMINT_WORKERS": "3"}, 4),
        ({"GENMINT_WORKERS": "5"}, 2),
        ({"GENMINT_WORKERS": "50"}, 1),
        ({"LOCAL_WORLD_SIZE": "4"}, 3),
        ({"GENMINT_WORKERS": "2", "LOCAL_WORLD_SIZE": "3"}, 2),
        # torchrun sets it to 1 where nobody has.
        ({"OMP_NUM_THREADS": "1", "TORCHELASTIC_RUN_ID": "x", "LOCAL_WORLD_SIZE": "2"}, 6),
    ],
)
def test_training_runs_and_processes_share_the_cores(cores, monkeypatch, said, threads):
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    assert share_cores() == threads
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("said", ["", " "])
def test_an_empty_omp_num_threads_is_not_set(cores, monkeypatch, said):
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    monkeypatch.setenv("GENMINT_WORKERS", "3")
    assert share_cores() == 4


def test_omp_num_threads_that_is_no_number_is_refused(cores, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "all")
    with pytest.raises(ConfigError, match=r"^OMP_NUM_THREADS=all: give the number of threads"):
        share_cores()


def test_threads_follow_the_quota_of_a_container(cores, monkeypatch, tmp_path):
    group = tmp_path / "proc/self/cgroup"
    group.parent.mkdir(parents=True)
    group.write_text("0::/\n")
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/cpu.max").write_text("400000 100000\n")
    monkeypatch.setattr("genmint.common.cores.ROOT", tmp_path)
    assert share_cores() == 4
    monkeypatch.setenv("GENMINT_WORKERS", "2")
    assert share_cores() == 2


def test_omp_num_threads_has_the_last_word(cores, monkeypatch):
    # As torch read it when it was loaded.
    torch.set_num_threads(2)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv("GENMINT_WORKERS", "3")
    assert share_cores() == 2
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("said", ["0", "-1", "two", "1.5", ""])
def test_a_number_of_training_runs_that_is_none_is_refused(monkeypatch, said):
    monkeypatch.setenv("GENMINT_WORKERS", said)
    with pytest.raises(ConfigError, match=f"GENMINT_WORKERS={said}: give the number of concurrent"):
        share_cores()


def test_every_process_has_its_own_gpu(gpu, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device() == CPU
    gpu(gpus=2)
    assert choose_device() == torch.device("cuda", 0)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    for rank in (0, 1):
        monkeypatch.setenv("LOCAL_RANK", str(rank))
        assert choose_device() == torch.device("cuda", rank)


@pytest.mark.parametrize("rank", [0, 2])
def test_too_few_gpus_are_said_in_every_process(gpu, monkeypatch, rank):
    gpu(gpus=2)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    monkeypatch.setenv("LOCAL_RANK", str(rank))
    with pytest.raises(ConfigError, match="3 processes need a GPU each, and there are 2"):
        choose_device()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc")
def test_memory_that_was_freed_is_there_for_the_next_step():
    """Pages that a step touched cost nothing again: counted by the system, in a thread too."""
    code = (
        "import resource, sys, threading, torch\n"
        "from genmint.training.devices import keep_memory\n"
        "if sys.argv[1] == 'keep': keep_memory()\n"
        "def steps(n):\n"
        "    for _ in range(n):\n"
        "        held = [torch.ones(1_500_000) for _ in range(6)]\n"
        "        del held\n"
        "def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "def measured():\n"
        "    steps(10); before = faults(); steps(20); print(faults() - before)\n"
        "measured()\n"
        "thread = threading.Thread(target=measured); thread.start(); thread.join()\n"
    )

    def run(how):
        done = subprocess.run(
            [sys.executable, "-c", code, how],
            # Every block from the system: by itself glibc decides by what was freed before.
            env={**os.environ, "GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=131072"},
            capture_output=True,
            text=True,
            check=True,
        )
        return [int(line) for line in done.stdout.split()]

    # A heap in pieces may still touch a new block now and then: a step takes six.
    kept, given_back = run("keep"), run("as it comes")
    assert 10 * max(kept) < min(given_back), (kept, given_back)
