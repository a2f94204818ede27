"""Rows that others write at the same moment."""

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST, INTERNAL_ERROR

from genmint import tracking
from genmint.tracking.write_conflicts import put


def clashing(times, code=BAD_REQUEST):
    calls = []

    def write(*arguments):
        calls.append(arguments)
        if len(calls) <= times:
            raise MlflowException("UNIQUE constraint failed", error_code=code)

    return write, calls


@pytest.mark.parametrize("times", [0, 1, 3])
def test_a_clash_is_tried_again(times):
    write, calls = clashing(times)
    put(write, "tiny", "champion", "1")
    assert calls == [("tiny", "champion", "1")] * (times + 1)


def test_one_that_is_refused_time_and_again_is_an_error():
    write, calls = clashing(99)
    with pytest.raises(MlflowException):
        put(write)
    assert len(calls) == 4


def test_another_error_is_not_tried_again():
    write, calls = clashing(1, INTERNAL_ERROR)
    with pytest.raises(MlflowException):
        put(write)
    assert len(calls) == 1


def test_a_database_that_refuses_a_row_says_what_is_tried_again(workshop, monkeypatch):
    """The same alias inserted twice, as by two that saw none."""
    from mlflow.store.model_registry.dbmodels.models import SqlRegisteredModelAlias
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    client = MlflowClient(tracking.uri(workshop.project))
    client.create_registered_model("tiny")
    client.create_model_version("tiny", source="file:///nowhere")
    store = SqlAlchemyStore(tracking.uri(workshop.project))

    def insert():
        with store.ManagedSessionMaker(read_only=False) as session:
            session.add(SqlRegisteredModelAlias(name="tiny", alias="champion", version=1))

    insert()
    with pytest.raises(MlflowException) as refusal:
        insert()
    assert refusal.value.error_code == "BAD_REQUEST"
    put(client.set_registered_model_alias, "tiny", "champion", "1")
