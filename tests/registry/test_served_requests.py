"""Any request to a served model is answered: drawn, or refused in a sentence; never status 500."""

import contextlib
import json
import sys
import threading
import time

import mlflow
import pytest
import requests
import uvicorn
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mlflow.pyfunc import scoring_server
from tests.registry.models_of_all_kinds import write

from genmint.registry import pyfunc

CSV, JSON, PARQUET = scoring_server.CONTENT_TYPES
TYPES = [JSON, CSV, PARQUET, "text/plain", "", None]
KINDS = ("text", "conditional", "clips")
# What a request may ask for here, in symbols: more takes longer and shows nothing else.
_SYMBOLS = 2_000
ANSWERS = {200, 400, 415}


@contextlib.contextmanager
def serving(folder):
    """MLflow's own application with a model, on loopback: its address."""
    model = mlflow.pyfunc.load_model(str(folder))
    sys.modules[type(model.unwrap_python_model()).__module__]._MAX_SYMBOLS = _SYMBOLS
    config = uvicorn.Config(scoring_server.init(model), port=0, log_level="critical")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        host, port = server.servers[0].sockets[0].getsockname()
        yield f"http://{host}:{port}/invocations"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def addresses(tmp_path_factory):
    """The address of each served model, by kind."""
    with contextlib.ExitStack() as stack:
        served = {}
        for kind in KINDS:
            folder = tmp_path_factory.mktemp(kind)
            write(kind, folder)
            pyfunc.save(folder, folder / "served")
            served[kind] = stack.enter_context(serving(folder / "served"))
        yield served


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner,
                                                               max_size=3),
    max_leaves=6,
)  # fmt: skip
VALUES = {
    "n": st.integers(1, 3) | st.sampled_from([0, 1.5, 2.0, "2", True, 1025, 10**30, -1, None]),
    "seed": st.integers(0, 2**63 - 1) | st.sampled_from([2**63, -1, 1e300, "0", None]),
    "length": st.integers(1, 9) | st.sampled_from([0, 100_000, 100_001, 0.5, None]),
    "prompt": st.text("ab \n", max_size=4) | st.text(max_size=3) | st.none(),
    "temperature": st.floats() | st.floats(0.1, 2) | st.none(),
    "top_k": st.integers(-1, 8) | st.floats(0, 3) | st.none(),
    "top_p": st.floats(0, 1) | st.floats() | st.none(),
    "label": st.sampled_from(["small", "large", "none such", 3, None]),
}
ROW = st.fixed_dictionaries({}, optional={key: each | ANY_JSON for key, each in VALUES.items()})
PLAIN_ROW = st.fixed_dictionaries({}, optional=VALUES)
ROWS = st.lists(PLAIN_ROW | ROW | st.dictionaries(st.text(max_size=6), ANY_JSON, max_size=2),
                max_size=4)  # fmt: skip


def _columns(rows):
    keys = list(dict.fromkeys(key for row in rows for key in row))
    return {key: [row.get(key) for row in rows] for key in keys}


def _split(rows):
    columns = _columns(rows)
    data = [list(values) for values in zip(*columns.values(), strict=True)]
    return {"columns": list(columns), "data": data}


TABLES = st.one_of(
    ROWS.map(lambda rows: {"dataframe_records": rows}),
    ROWS.map(lambda rows: {"dataframe_split": _split(rows)}),
    ROWS.map(lambda rows: {"inputs": rows}),
    ROWS.map(lambda rows: {"inputs": _columns(rows)}),
    ROWS.map(lambda rows: {"instances": rows}),
    st.dictionaries(
        st.sampled_from(["dataframe_records", "dataframe_split", "inputs", "instances", "params"]),
        ANY_JSON | ROWS,
        max_size=2,
    ),
    ANY_JSON,
)
BODIES = st.one_of(
    TABLES.map(lambda table: (json.dumps(table).encode(), JSON)),
    TABLES.map(lambda table: (json.dumps(table, ensure_ascii=False).encode("utf-8", "replace"),
                              "application/json; charset=utf-8")),
    st.tuples(st.binary(max_size=40), st.sampled_from(TYPES)),
    st.tuples(st.text("nsed,\n1 0\"'é;", max_size=30).map(str.encode), st.just(CSV)),
    st.tuples(TABLES.map(lambda table: json.dumps(table).encode()),
              st.sampled_from([None, "json", "application/json; charset=latin-1", "a=b; c"])),
)  # fmt: skip
LONE_SURROGATE = b'{"dataframe_records": [{"prompt": "\\ud800"}]}'
DEEP = b'{"inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"


def answered(address, body, kind):
    """The answer to a request, if it is one that a client can act on."""
    headers = {} if kind is None else {"Content-Type": kind}
    answer = requests.post(address, data=body, headers=headers, timeout=60)
    assert answer.status_code in ANSWERS, (answer.status_code, body, kind, answer.text)
    if answer.status_code == 200:
        assert isinstance(answer.json()["predictions"], list), (body, answer.text)
    if answer.status_code == 400:
        problem = answer.json()
        assert "stack_trace" not in problem, (body, problem)
        message = problem["message"]
        assert message == " ".join(message.split()), (body, message)
        assert 10 < len(message) <= 1000, (body, message)
        assert "unexpected error" not in message, (body, message)
    return answer


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@given(request=BODIES)
@example(request=(b"", None))
@example(request=(b"{}", None))
@example(request=(DEEP, JSON))
@example(request=(LONE_SURROGATE, JSON))
@example(request=(b"n,seed\n1,0\n2,0,3", CSV))
@example(request=(b"\xff", CSV))
@example(request=(b"PAR1", PARQUET))
@example(request=(b'{"dataframe_records": [{"n": 1' + b"0" * 5000 + b"}]}", JSON))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_request_is_answered(addresses, kind, request):
    answered(addresses[kind], *request)


@pytest.mark.soak
@pytest.mark.parametrize("kind", KINDS)
@given(request=BODIES)
@settings(max_examples=2_000, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_of_two_thousand_requests_is_answered(addresses, kind, request):
    answered(addresses[kind], *request)


def test_what_cannot_be_parsed_is_refused_in_a_sentence(addresses):
    answer = answered(addresses["text"], DEEP, JSON)
    assert answer.status_code == 400
    message = answer.json()["message"]
    assert message.startswith("the body is not a table of draws (RecursionError: ")
    assert message.endswith("send JSON with one of dataframe_records, dataframe_split, inputs or "
                            "instances")  # fmt: skip
    answer = answered(addresses["text"], b"{}", None)
    assert answer.status_code == 415
    assert "supports the following content types" in answer.text


def test_a_good_request_is_drawn_as_csv_too(addresses):
    found = [
        answered(addresses["text"], b"n,seed,length\n2,3,5\n", CSV),
        answered(addresses["text"], b'{"inputs": [{"n": 2, "seed": 3, "length": 5}]}', JSON),
    ]
    first, second = (answer.json()["predictions"] for answer in found)
    assert [row["sample"] for row in first] == [row["sample"] for row in second]
    assert len(first) == 2
