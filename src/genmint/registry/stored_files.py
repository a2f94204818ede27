"""Access to the files stored with a version, in any artefact store."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from genmint.common.errors import RegistryDeniedError, RegistryUnreachableError
from genmint.common.files import scratch_dir
from genmint.registry.versions import Version
from genmint.tracking.transfer_time import time_for

# Schemes that receive credentials. Who may write a version may set its source, so an address there
# could point to a server that collects the login.
_SENT_A_LOGIN = ("http", "https", "ftp", "sftp")


class StoredFiles:
    """The files of one version.

    Attributes:
        source: address of the files.
    """

    def __init__(self, repository: ArtifactRepository, source: str, scratch: Path) -> None:
        """Access the files below `source`; downloads go to the folder `scratch`."""
        self._repository = repository
        self._local = isinstance(repository, LocalArtifactRepository)
        self._scratch = scratch
        self.source = source

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder; [] if it does not exist."""
        return list(self._sizes(folder))

    def fetch(self, folder: str, names: tuple[str, ...]) -> Path | None:
        """Download files of a folder ("" for the top); return its copy, None if one is missing."""
        sizes = self._sizes(folder)
        if not set(names) <= set(sizes):
            return None
        for name in names:
            with time_for(sizes[name]):
                file = f"{folder}/{name}" if folder else name
                path = Path(self._repository.download_artifacts(file, self._where()))
        return path.parent

    def whole(self) -> Path:
        """Download all files; return the local folder."""
        with time_for(self._largest("")):
            return Path(self._repository.download_artifacts("", self._where()))

    def copy(self, folder: str, target: Path) -> Path | None:
        """Copy a folder ("" for all) below `target`; return the copy, None if there is none."""
        if not self.names(folder):
            return None
        if self._local:
            there = Path(self._repository.download_artifacts(folder, None))
            return Path(shutil.copytree(there, target / (folder or "version")))
        with time_for(self._largest(folder)):
            return Path(self._repository.download_artifacts(folder, str(target)))

    def _sizes(self, folder: str) -> dict[str, int]:
        """Return the file sizes of a folder in bytes, by name; 0 on a local disk."""
        if isinstance(self._repository, LocalArtifactRepository):
            # MLflow lists an unreadable folder as empty.
            try:
                there = Path(self._repository.artifact_dir) / folder
                return dict.fromkeys(sorted(path.name for path in there.iterdir()), 0)
            except (FileNotFoundError, NotADirectoryError):
                return {}
        items = self._repository.list_artifacts(folder or None)
        return {str(item.path).rpartition("/")[2]: item.file_size or 0 for item in items}

    def _largest(self, folder: str) -> int:
        """Return the size in bytes of the largest file below a folder; 0 on a local disk."""
        if self._local:
            return 0
        items = self._repository.list_artifacts(folder or None)
        sizes = (self._largest(str(i.path)) if i.is_dir else i.file_size or 0 for i in items)
        return max(sizes, default=0)

    def _where(self) -> str | None:
        # Files on a reachable disk are read in place.
        return None if self._local else str(self._scratch)


@contextlib.contextmanager
def open_files(
    client: MlflowClient, address: str, version: Version
) -> Iterator[StoredFiles | None]:
    """Yield access to a version's files; None if they are missing or on another server.

    Args:
        client: client of a reachable registry.
        address: address of the registry.
        version: version of a model.

    Raises:
        MlflowException, RequestException: registry or artefacts do not answer.
        RegistryDeniedError: the files may not be read.
    """
    source = version.source
    if source.startswith("models:"):
        # For a copy within the registry, MLflow knows the location of the original files.
        source = client.get_model_version_download_uri(version.name, version.version)
    if not _is_ours(source, address):
        yield None
        return
    try:
        repository = get_artifact_repository(source, tracking_uri=address)
    except (MlflowException, ImportError):
        if source.startswith("mlflow-artifacts:"):
            # Only a tracking server can read these files, and the current tracker is not one.
            raise RegistryUnreachableError(
                f"{version.name}/{version.version}: its files are at {source}, which only a "
                "tracking server can read. Set MLFLOW_TRACKING_URI to that server."
            ) from None
        # No artefact store handles this scheme, so no request was made that could have failed.
        yield None
        return
    with scratch_dir() as scratch, _readable(version):
        files = StoredFiles(repository, source, scratch)
        yield files if files.names("") else None


def _is_ours(source: str, address: str) -> bool:
    """Whether the login may be sent to a source: it is on the tracker, or not on a server."""
    there, tracker = urlsplit(source), urlsplit(address)
    if there.scheme == "mlflow-artifacts":
        # A database tracker is not a server, so no login is sent.
        return there.netloc in ("", tracker.netloc) or tracker.scheme not in ("http", "https")
    return there.scheme not in _SENT_A_LOGIN


@contextlib.contextmanager
def _readable(version: Version) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise RegistryDeniedError(
            f"{version.name} {version.named}: {error.filename}: this user may not read it. "
            "Ask its owner for the permission to read the artefacts."
        ) from None
