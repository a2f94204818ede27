"""Make an environment that has all of this one and, beside it, one extra of pyproject.toml.

    .venv/bin/python scripts/overlay.py EXTRA FOLDER [options of pip install]

What the extra brings is not pinned, and some of it breaks other programs: pythae brings a backport
named `dataclasses`, with which Prefect's server does not start. So none of it enters this one.
"""

import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path


def main(extra, folder, *options):
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = project["optional-dependencies"][extra]
    venv.create(folder, clear=True, symlinks=True)
    python = Path(folder) / "bin" / "python"
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True)
    # `addsitedir` reads the .pth files there as well: genmint itself is installed by one.
    line = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
    (Path(own.stdout.strip()) / "project.pth").write_text(line, encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "install", "-q", *options, "-c", "requirements/constraints.txt", *wanted], check=True
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
