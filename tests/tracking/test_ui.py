import pytest

from genmint.common.errors import ConfigError
from genmint.common.project import Project
from genmint.tracking.ui import check_free, serve_ui


def test_the_password_of_a_tracker_is_not_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ann:canary@far.example:5000")
    with pytest.raises(ConfigError) as caught:
        serve_ui(Project(tmp_path), "127.0.0.1", 0)
    assert "https://ann:***@far.example:5000" in str(caught.value)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("port", [-1, 65536, 99999])
def test_a_port_that_cannot_be_is_wrong_usage(port):
    with pytest.raises(ConfigError, match=f"--port {port}: a port is a number from 0 to 65535"):
        check_free("127.0.0.1", port, "--port")
