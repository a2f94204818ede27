"""Write what is generated from the settings: config/params.schema.json and docs/configuration.md.

    .venv/bin/python scripts/settings.py [ROOT]

`make docs` runs it. tests/config compare both files with the fields.
"""

import sys
from pathlib import Path

from genmint.config.schema import SCHEMA_FILE, schema_text
from genmint.config.settings_page import PAGE_FILE, with_reference


def main(root="."):
    page = Path(root, PAGE_FILE)
    page.write_text(with_reference(page.read_text(encoding="utf-8")), encoding="utf-8")
    Path(root, SCHEMA_FILE).write_text(schema_text(), encoding="utf-8")
    print(f"wrote {PAGE_FILE} and {SCHEMA_FILE}")


if __name__ == "__main__":
    main(*sys.argv[1:])
