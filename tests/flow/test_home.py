"""A worker works for the repository of its machine."""

import os
from pathlib import Path

import pytest

import genmint
from genmint.common.errors import ConfigError
from genmint.flow.home import enter, find_home


def test_the_one_that_is_named_else_the_one_that_is_installed(repository, monkeypatch):
    monkeypatch.delenv("GENMINT_HOME", raising=False)
    assert find_home().root == Path(genmint.__file__).parents[2]
    monkeypatch.setenv("GENMINT_HOME", str(repository.root))
    monkeypatch.chdir("/")
    assert enter() == {"directory": str(repository.root)}
    assert Path(os.getcwd()) == repository.root  # noqa: PTH109


def test_a_folder_that_is_no_checkout_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("GENMINT_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="Set GENMINT_HOME"):
        find_home()
