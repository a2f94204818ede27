"""The cluster of docs/cluster.md in small: two homes, PostgreSQL, a bucket; one trains for both."""

import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from tests.e2e.conftest import Checkout, clone_of_the_project
from tests.services.conftest import Running, wait_for

from genmint.common.dvc_lock import read_lock

boto3 = pytest.importorskip("boto3", reason="make soak installs it")
pytest.importorskip("moto", reason="make soak installs it")
pytestmark = pytest.mark.soak

PARAMS = """\
datasets:
  digits: {path: data/sources/digits.yaml, kind: image, resolution: 8, labels: source, test: 0.15,
           confirmation: 0.0, reference: {epochs: 3}, protocol: {samples: 64}}
models:
  tiny-vae: {family: vae, dataset: digits, hidden: [16], latent: 2, steps: 60}
gates:
  tiny-vae: {thresholds: {elbo: {min: -1000.0}}, champion: {superior: [elbo]}}
"""
BUCKET = "genmint"
LOGIN = "team:a long passphrase"
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1"}  # fmt: skip


@pytest.fixture
def bucket():
    """An S3 server with an empty bucket; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answers():
        assert server.poll() is None
        try:
            return httpx.get(address).status_code < 500
        except httpx.HTTPError:
            return False

    try:
        wait_for(answers, 30, "the S3 server")
        s3(address).create_bucket(Bucket=BUCKET)
        yield address
    finally:
        server.kill()
        server.wait()


def s3(address):
    return boto3.client(
        "s3",
        endpoint_url=address,
        region_name=KEYS["AWS_DEFAULT_REGION"],
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
    )


def in_bucket(address, prefix):
    listed = s3(address).list_objects_v2(Bucket=BUCKET, Prefix=prefix)
    return [item["Key"] for item in listed.get("Contents", [])]


@pytest.fixture
def origin(tmp_path, bucket):
    """The git server: a bare repository whose DVC remote is the bucket."""
    made = clone_of_the_project(tmp_path / "seed")
    (made.root / "params.yaml").write_text(PARAMS)
    made.run("dvc", "remote", "add", "--default", "bucket", f"s3://{BUCKET}/dvc")
    made.run("dvc", "remote", "modify", "bucket", "endpointurl", bucket)
    made.commit("the cluster")
    bare = tmp_path / "origin.git"
    made.run("git", "clone", "-q", "--bare", ".", str(bare))
    return bare


def clone(origin, home):
    """A clone in a home of its own, as another machine has it."""
    home.mkdir()
    subprocess.run(["git", "clone", "-q", str(origin), str(home / "genmint")], check=True)
    return Checkout(home / "genmint")


def environment(checkout, **more):
    """What a machine's shell has."""
    # As many threads everywhere: the last digits of sums depend on it.
    home = checkout.root.parent
    places = {"HOME": str(home), "GENMINT_HOME": str(checkout.root),
              "GENMINT_LOCKS": str(home / "locks")}  # fmt: skip
    shared = {"GENMINT_LOGIN": LOGIN, "GENMINT_SIGNING_KEY": "5a" * 32}
    return {**KEYS, **shared, "OMP_NUM_THREADS": "1", **places, **more}


def entries(root):
    """Of the stages whose results travel: all that DVC knows of them."""
    lock = read_lock(Path(root) / "dvc.lock")
    return {name: lock[name] for name in ("prepare@digits", "reference@digits", "train@tiny-vae")}


def stage_of_weights(root):
    outs = entries(root)["train@tiny-vae"]["outs"]
    return next(out["md5"] for out in outs if out["path"].endswith("model.safetensors"))


def cached(checkout, digest):
    return (checkout.root / ".dvc/cache/files/md5" / digest[:2] / digest[2:]).exists()


def restores_without_training(colleague, here):
    """A clone pulls all results, has nothing to train, and samples from the champion."""
    colleague.run("dvc", "pull", **here)
    said = colleague.run("dvc", "repro", **here).stdout
    assert "Data and pipelines are up to date." in said
    keyless = {name: value for name, value in here.items() if name not in KEYS}
    sample = ("genmint", "sample", "tiny-vae@champion", "-n", "4", "--out", "four.png")
    colleague.run(*sample, **keyless)
    assert (colleague.root / "four.png").stat().st_size > 0


def test_one_home_trains_for_the_other_and_a_third_restores(
    tmp_path, origin, bucket, postgresql, request
):
    head, host = clone(origin, tmp_path / "head"), clone(origin, tmp_path / "host")
    servers = Running(
        head.root, "--workers", "0", "--name", "head",
        **environment(head, STORE=postgresql, ARTIFACTS=f"s3://{BUCKET}/mlflow",
                      MLFLOW_S3_ENDPOINT_URL=bucket),
    )  # fmt: skip
    addresses = {"PREFECT_API_URL": f"http://127.0.0.1:{servers.prefect_port}/api",
                 "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{servers.mlflow_port}"}  # fmt: skip
    request.addfinalizer(servers.clean)
    gpu = Running(host.root, "--workers-only", "--name", "host", **environment(host, **addresses))
    try:
        before = head.run("git", "status", "--porcelain").stdout
        run = servers.ask("retrain/now")
        servers.wait_until(run, "Completed", 600)
        assert head.run("git", "status", "--porcelain").stdout == before
    finally:
        stopped = [gpu.stop(), gpu.clean()]
    assert stopped[0] == 130
    try:
        # Only the host has a worker that trains; its results went through the bucket.
        (branch,) = head.run("git", "branch", "--list", "retrain/*",
                             "--format=%(refname:short)").stdout.split()  # fmt: skip
        colleague = clone(origin, tmp_path / "colleague")
        colleague.run("git", "checkout", "-q", branch)
        digest = stage_of_weights(colleague.root)
        assert cached(host, digest)
        assert cached(head, digest)
        assert any(key.endswith(digest[2:]) for key in in_bucket(bucket, "dvc/files"))
        assert in_bucket(bucket, "mlflow/")
        assert not (head.root / "mlflow.db").exists()
        assert not (head.root / "mlartifacts").exists()

        restores_without_training(colleague, environment(colleague, **addresses))
    finally:
        servers.stop()
        servers.clean()

    # What a machine alone makes is the very same.
    alone = clone(origin, tmp_path / "alone")
    alone.run("dvc", "repro", "-q", "reference@digits", "train@tiny-vae", **environment(alone))
    assert entries(alone.root) == entries(colleague.root)
