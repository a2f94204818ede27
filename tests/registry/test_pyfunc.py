"""The served form of a model: loads without the checkout and without pickle, refuses bad input."""

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import mlflow
import pandas as pd
import pytest
import requests
import torch
from mlflow.exceptions import MlflowException

from genmint.config import RNNConfig, VAEConfig
from genmint.data.views.spec import DataSpec
from genmint.models.shared import store
from genmint.registry import pyfunc


@pytest.fixture(scope="module")
def text_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    config = RNNConfig(
        family="rnn", dataset="words", cell="tanh", hidden=4, embedding=4, steps=1, seed=0
    )
    vocabulary = ("<unk>", "<s>", "a", "b", " ")
    spec = DataSpec(
        dataset="words", kind="text", view="sequence", shape=(), symbols=5, vocabulary=vocabulary
    )
    described = {
        "name": "words",
        "model": config,
        "data": spec,
        "prepared": "d" * 64,
        "resolved": {"precision": "fp32"},
    }
    store.save(folder, store.build(config, spec), described)
    target = folder / "served"
    pyfunc.save(folder, target)
    return target


@pytest.fixture
def image_model(workshop):
    workshop.make(gate=False)
    target = workshop.root / "served"
    pyfunc.save(workshop.root / "models/tiny", target)
    return target


@pytest.fixture(autouse=True)
def no_pickle(monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")


def draw(folder, **columns):
    return mlflow.pyfunc.load_model(str(folder)).predict(pd.DataFrame(columns))


def test_each_row_is_a_draw_and_a_seed_gives_the_same_samples(image_model):
    found = draw(image_model, n=[2, 3], seed=[7, 7])
    assert list(found.columns) == ["request", "index", "sample"]
    assert found["request"].tolist() == [0, 0, 1, 1, 1]
    assert found["index"].tolist() == [0, 1, 0, 1, 2]
    samples = found["sample"].tolist()
    assert samples[:2] == samples[2:4]
    assert samples[0] != samples[1]
    (channel,) = samples[0]
    assert len(channel) == 4
    assert all(len(row) == 4 and all(0 <= pixel <= 255 for pixel in row) for row in channel)


def test_they_are_the_samples_of_the_model_itself(image_model, workshop):
    model, _ = store.load(workshop.root / "models/tiny")
    expected = model.sample(2, seed=5).tolist()
    assert draw(image_model, n=[2], seed=[5])["sample"].tolist() == expected


def test_texts_come_as_text_of_the_length_asked_for(text_model):
    found = draw(text_model, n=[2], seed=[0], length=[11])
    assert all(isinstance(text, str) and len(text) == 11 for text in found["sample"])
    assert len(draw(text_model, n=[1], seed=[0])["sample"][0]) == 512


def test_a_text_goes_on_from_its_prompt(text_model):
    found = draw(
        text_model, n=[2, 1], seed=[0, 0], length=[5, 5], prompt=["ab ", None],
        temperature=[1e-6, None],
    )  # fmt: skip
    first, second, plain = found["sample"]
    assert first.startswith("ab ")
    assert len(first) == 8
    assert first == second
    (alone,) = draw(text_model, n=[1], seed=[7], length=[5], prompt=["ab "], top_k=[1])["sample"]
    assert alone == first
    assert plain == draw(text_model, n=[1], seed=[0], length=[5])["sample"][0]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"prompt": ["xa"]}, r"prompt: 'x' \(U\+0078\): not in the training split of words"),
        ({"prompt": [""]}, "prompt: it is empty"),
        ({"top_p": [1.5]}, "top_p 1.5: input should be less than or equal to 1"),
        (
            {"temperature": [0.0]},
            "temperature 0.0: input should be greater than or equal to",
        ),
        ({"top_k": [0]}, "top_k: 0 is not a whole number from 1"),
    ],
)
def test_a_draw_that_a_text_model_cannot_make_is_refused(text_model, columns, message):
    with pytest.raises(MlflowException, match=message):
        draw(text_model, n=[1], seed=[0], **columns)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"n": [1], "seed": [0], "top_k": [3]}, "top_k: only an RNN draws symbol by symbol"),
        ({"n": [0], "seed": [0]}, "n: 0 is not a whole number from 1 to 1024"),
        ({"n": [1025], "seed": [0]}, "n: 1025 is not"),
        ({"n": [1], "seed": [-1]}, "seed: -1 is not"),
        ({"n": [1], "seed": [0], "length": [5]}, "fixed length"),
        ({"n": [1], "seed": [0], "label": ["a"]}, "label 'a': only a model with conditional"),
    ],
)
def test_numbers_out_of_range_are_refused(image_model, columns, message):
    with pytest.raises(MlflowException, match=message):
        draw(image_model, **columns)


def test_a_conditional_model_draws_the_class_of_each_row(tmp_path):
    config = VAEConfig(family="vae", dataset="d", steps=1, conditional=True)
    spec = DataSpec(dataset="d", kind="image", view="grid", shape=(1, 4, 4), labels=("x", "y"))
    described = {"name": "d", "model": config, "data": spec, "prepared": "d", "resolved": {}}
    model = store.build(config, spec)
    store.save(tmp_path, model, described)
    served = pyfunc.SamplingModel()
    served.load_context(SimpleNamespace(artifacts={"model": str(tmp_path)}))
    table = pd.DataFrame({"n": [2, 2], "seed": [5, 5], "label": ["y", None]})
    asked, of_all = served.predict(None, table)["sample"].tolist()[:2], model.sample(2, seed=5)
    assert asked == model.sample(2, seed=5, labels=torch.tensor([1, 1])).tolist()
    assert served.predict(None, table)["sample"].tolist()[2:] == of_all.tolist()
    with pytest.raises(MlflowException, match="label 'z': there is none; known: x, y"):
        served.predict(None, table.assign(label="z"))


def test_large_items_are_limited_by_their_values(workshop, monkeypatch):
    """Lists of numbers take many times the memory of an array."""
    workshop.make(gate=False)
    monkeypatch.setattr(pyfunc, "_MAX_VALUES", 16 * 10)
    served = pyfunc.SamplingModel()
    folder = workshop.root / "models/tiny"
    served.load_context(SimpleNamespace(artifacts={"model": str(folder)}))
    assert len(served.predict(None, pd.DataFrame({"n": [5, 5]}))) == 10
    with pytest.raises(MlflowException, match="n: more than 10 samples of 16 values each in one"):
        served.predict(None, pd.DataFrame({"n": [5, 6]}))


@pytest.mark.parametrize("length", [0, -3, 100_001])
def test_a_length_out_of_range_is_refused(text_model, length):
    with pytest.raises(MlflowException, match="length"):
        draw(text_model, n=[1], seed=[0], length=[length])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"n": [1], "seed": [float("inf")]}, "seed: inf is not a whole number"),
        ({"n": [1.5], "seed": [0]}, "n: 1.5 is not a whole number from 1 to 1024"),
        ({"n": ["1"], "seed": [0]}, "n: '1' is not a number"),
        ({"n": [True], "seed": [0]}, "n: True is not a number"),
        ({"n": [[1]], "seed": [0]}, r"n: \[1\] is not a number"),
        ({"n": [1], "seed": [10**400]}, "seed: 10000.* is not a whole number"),
        ({"n": [1], "seed": [2**63]}, "seed: 9223372036854775808 is not"),
        ({"n": [1024] * 9, "seed": [0] * 9}, "n: more than 8192 samples in one request"),
        ({"n": [1], "seed": [0], "label": [3]}, "label: 3 is not text"),
        (
            {"n": [1], "sed": [0]},
            "Error: 'sed': no such column|^'sed': no such column; known are n",
        ),
        ({"sed": [0]}, "'sed': no such column"),
    ],
)
def test_what_is_no_number_is_refused_in_our_own_words(image_model, columns, message):
    with pytest.raises(MlflowException, match=message) as caught:
        draw(image_model, **columns)
    assert caught.value.get_http_status_code() == 400


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"prompt": [5]}, "prompt: 5 is not text"),
        ({"prompt": ["a" * 100_001]}, "prompt: more than 100000 characters"),
        ({"temperature": ["warm"]}, "temperature 'warm': input should be a valid number"),
        ({"temperature": [1e-320]}, "temperature 1e-320: .* greater than or equal to 0.000001"),
        ({"temperature": [float("inf")]}, "temperature inf: input should be a finite number"),
        ({"top_k": [1.5]}, "top_k: 1.5 is not a whole number"),
        ({"top_k": [-1]}, "top_k: -1 is not a whole number"),
        ({"n": [100], "length": [100_000]}, "length: more than 4194304 symbols in one request"),
        (
            {"n": [1000], "length": [1], "prompt": ["ab" * 2500]},
            "length: more than 4194304 symbols in one request",
        ),
    ],
)
def test_so_is_what_a_text_model_cannot_draw(text_model, columns, message):
    with pytest.raises(MlflowException, match=message) as caught:
        draw(text_model, **{"n": [1], "seed": [0]} | columns)
    assert caught.value.get_http_status_code() == 400


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA])
def test_what_a_row_leaves_out_takes_its_default(text_model, missing):
    """Each row of a mixed table gives what it gives alone."""
    columns = {
        "n": [1, 1, 1],
        "seed": [3, 3, 3],
        "length": [7, missing, 9],
        "prompt": [missing, "ab", missing],
        "temperature": [missing, 0.5, missing],
        "top_k": [2, missing, missing],
        "top_p": [missing, missing, 0.5],
        "label": [missing, missing, missing],
    }
    found = draw(text_model, **columns)["sample"].tolist()
    assert [len(text) for text in found] == [7, 512 + 2, 9]
    for row, text in enumerate(found):
        alone = {
            key: [values[row]] for key, values in columns.items() if values[row] is not missing
        }
        assert draw(text_model, **alone)["sample"].tolist() == [text]


@pytest.fixture(scope="module")
def server(text_model):
    """`mlflow models serve` on loopback: its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(text_model)]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--timeout", "10"]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(1200):
            assert process.poll() is None, process.stderr.read().decode()
            with contextlib.suppress(requests.ConnectionError):
                if requests.get(f"{address}/ping", timeout=5).ok:
                    break
            time.sleep(0.1)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=60)


def ask(server, **body):
    return requests.post(f"{server}/invocations", json=body, timeout=120)


ROWS = [{"n": 1, "seed": 3, "length": 7}, {"n": 2, "seed": 3, "length": None, "top_k": 2}]


def test_a_real_server_takes_each_form_of_a_request(server):
    columns = {"n": [1, 2], "seed": [3, 3], "length": [7, None], "top_k": [None, 2]}
    split = {"columns": list(columns), "data": list(map(list, zip(*columns.values(), strict=True)))}
    instances = [{**dict.fromkeys(columns), **row} for row in ROWS]
    answers = [
        ask(server, dataframe_records=ROWS),
        ask(server, dataframe_split=split),
        ask(server, inputs=columns),
        ask(server, inputs=ROWS),
        ask(server, instances=instances),
    ]
    assert [answer.status_code for answer in answers] == [200] * 5, [a.text for a in answers]
    found = [answer.json()["predictions"] for answer in answers]
    assert [len(row["sample"]) for row in found[0]] == [7, 512, 512]
    assert all(each == found[0] for each in found[1:])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"n": 1, "seed": 0}, {"n": 1.5, "seed": 0}], "row 1: n: 1.5 is not a whole number"),
        ([{"n": "1", "seed": 0}], "row 0: n: '1' is not a number"),
        ([{"n": 1, "seed": -1}], "row 0: seed: -1 is not a whole number from 0 to"),
        ([{"n": 1, "seed": 10**30}], "row 0: seed: 1"),
        ([{"n": 1, "seed": 0, "length": 0}], "row 0: length: 0 is not"),
        ([{"n": 1, "seed": 0, "top_k": True}], "row 0: top_k: True is not a number"),
        ([{"n": 1, "seed": 0, "label": "x"}], "row 0: label 'x': only a model with"),
        ([{"n": 1, "seed": 0, "prompt": "zz"}], "row 0: prompt: 'z'"),
        ([{"n": 1, "sed": 0}], "'sed': no such column; known are n, seed, length, prompt,"),
        ([{"sed": 0}, {"x'`]": 1}], "no such column; known are n, seed, length, prompt,"),
    ],
)
def test_a_real_server_refuses_with_our_words_and_status_400(server, rows, message):
    answer = ask(server, dataframe_records=rows)
    assert answer.status_code == 400
    assert message in answer.json()["message"]
    assert "unexpected error" not in answer.text


def test_a_real_server_draws_with_defaults(server):
    """One sample, and another one each time; `n` and `seed` may also be null in single rows."""
    answers = [ask(server, dataframe_records=[{}]) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200], [a.text for a in answers]
    (first,), (second,) = (answer.json()["predictions"] for answer in answers)
    assert len(first["sample"]) == len(second["sample"]) == 512
    assert first != second
    rows = [{"n": 2, "seed": None}, {"n": None, "seed": 3}, {"length": 4}]
    found = ask(server, dataframe_records=rows).json()["predictions"]
    assert [row["request"] for row in found] == [0, 0, 1, 2]


def test_many_long_requests_do_not_block_a_real_server(server):
    """Each is within the limits. A thread that nobody waits for would go on for minutes."""
    long = {"n": 40, "seed": 0, "length": 100_000}
    with ThreadPoolExecutor(44) as pool:
        started = [pool.submit(ask, server, dataframe_records=[long]) for _ in range(44)]
        answers = [each.result() for each in started]
    told = Counter(answer.status_code for answer in answers)
    assert set(told) == {429, 504}, [answer.text for answer in answers]
    assert told[504] <= 4 * told[429]
    (busy,) = {a.json()["message"] for a in answers if a.status_code == 429}
    assert busy == "4 requests are being drawn: try again"
    (late,) = {a.json()["message"] for a in answers if a.status_code == 504}
    assert "it takes more than 9 seconds: ask for fewer samples" in late
    # Else the places would be taken by those who left.
    answer = ask(server, dataframe_records=[{"n": 1, "seed": 3, "length": 7}])
    assert answer.status_code == 200, answer.text


def test_where_there_is_no_server_there_are_no_limits(text_model, monkeypatch):
    monkeypatch.setattr(pyfunc, "_SHARE_OF_TIME", 0.0)
    assert len(draw(text_model, n=[2], seed=[0])) == 2


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA])
def test_without_n_and_seed_one_sample_is_drawn_at_random(image_model, missing):
    found = draw(image_model, n=[missing, missing, 1, 1], seed=[missing, missing, 5, 5])
    assert found["request"].tolist() == [0, 1, 2, 3]
    first, second, third, fourth = found["sample"].tolist()
    assert third == fourth
    assert first != second
    assert len(draw(image_model)) == 1


@pytest.mark.parametrize("level", [logging.DEBUG, logging.ERROR])
def test_an_unknown_column_of_another_model_is_none_of_ours(image_model, level):
    """MLflow only logs that it drops a column; the note belongs to one request of one model."""
    logger = logging.getLogger("mlflow.models.utils")
    logger.setLevel(level)
    try:
        model = mlflow.pyfunc.load_model(str(image_model))
        with pytest.raises(MlflowException, match="'x', 'y': no such column"):
            model.predict(pd.DataFrame({"x": [1], "y": [2], "n": [1]}))
        assert len(model.predict(pd.DataFrame({"n": [1]}))) == 1
        logger.warning("Found extra inputs in the model input that are not defined: `['x']`.")
        assert len(model.predict(pd.DataFrame({"n": [1]}))) == 1
    finally:
        logger.setLevel(logging.NOTSET)
