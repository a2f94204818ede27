"""What `make docs` writes."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_both_files_are_written_as_they_are_committed(tmp_path):
    for folder in ("docs", "config"):
        (tmp_path / folder).mkdir()
    page = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    (tmp_path / "docs/configuration.md").write_text(page + "left over\n", encoding="utf-8")
    script = ROOT / "scripts/settings.py"
    subprocess.run([sys.executable, script, tmp_path], check=True, capture_output=True)
    for name in ("docs/configuration.md", "config/params.schema.json"):
        assert (tmp_path / name).read_bytes() == (ROOT / name).read_bytes()
