"""What tests of prepare look at."""

from genmint.common.files import sha256_file
from genmint.data.prepared import Prepared

PICTURES = {"kind": "image", "resolution": 8, "validation": 0.2, "test": 0.2}


TEXTS = {"kind": "text", "validation": 0.2, "test": 0.2}


def prepared(data_project, name="own"):
    found = Prepared(data_project.project.prepared(name))
    found.check()
    return found


def everything(folder):
    return {path.name: sha256_file(path) for path in folder.iterdir()}
