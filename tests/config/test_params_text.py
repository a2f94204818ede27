"""params.yaml as text: it is replaced without surprises for links, modes and other writers."""

import pytest

from genmint.common.errors import ConfigError
from genmint.config.params_text import read_params_text, write_params_text


@pytest.fixture
def params(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_bytes(b"\xef\xbb\xbfdatasets: {}\r\n")
    return path


def test_mark_and_line_ends_stay(params):
    before = read_params_text(params)
    write_params_text(params, before, before.text + "models: {}\r\n")
    assert params.read_bytes() == b"\xef\xbb\xbfdatasets: {}\r\nmodels: {}\r\n"


def test_a_read_only_file_is_not_overwritten(params):
    params.chmod(0o444)
    before = params.read_bytes()
    with pytest.raises(ConfigError, match=r"params\.yaml: is read-only; nothing was .*chmod u\+w"):
        write_params_text(params, read_params_text(params), "models: {}\n")
    assert params.read_bytes() == before


def test_the_mode_stays(params):
    params.chmod(0o600)
    write_params_text(params, read_params_text(params), "models: {}\n")
    assert params.stat().st_mode & 0o777 == 0o600


def test_the_target_of_a_link_is_written(params, tmp_path):
    link = tmp_path / "link.yaml"
    link.symlink_to(params)
    write_params_text(link, read_params_text(link), "models: {}\n")
    assert link.is_symlink()
    assert params.read_text(encoding="utf-8-sig") == "models: {}\n"
