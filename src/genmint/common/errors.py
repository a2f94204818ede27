"""Exceptions for user-facing errors, with their exit codes."""

# Path of the file in which a stage records its failure, so that the flow that started it need not
# parse stderr.
FAILURE_FILE = "GENMINT_FAILURE"


class GenmintError(Exception):
    """Error that the user can resolve; printed as one line without a traceback.

    The message names the file, key or row, and the remedy.
    """

    exit_code = 1


class ConfigError(GenmintError):
    """Wrong usage or configuration (exit code 2)."""

    exit_code = 2


class DataError(GenmintError):
    """Data that are unreadable, not of the declared format, or not admissible."""


class MismatchError(DataError):
    """A model and data that are incompatible with each other."""


class TemporaryError(GenmintError):
    """Error that may not recur on a retry: a lock, the network, the tracker."""


class RegistryError(GenmintError):
    """The tracking server or registry responded with an error, or not at all.

    It never means that a model failed or that something does not exist; the latter has its own
    class.
    """


class RegistryUnreachableError(RegistryError, TemporaryError):
    """The tracking server or registry does not respond, or fails; a retry may succeed."""


class RegistryDeniedError(RegistryError):
    """The tracking server or registry denies access to this user; a retry is useless."""


class RegistryMissingError(RegistryError):
    """The tracking server or registry reports that the resource does not exist."""


class RegistryRefusedError(RegistryError):
    """The tracking server or registry rejects a request."""


class SourceUnreachableError(DataError, TemporaryError):
    """A named data set cannot be downloaded for lack of a connection."""


class TrainsElsewhereError(GenmintError):
    """Training is disabled in this process (`GENMINT_DEVICE=none`); a worker has to run it."""


class DiskFullError(GenmintError):
    """The disk is full, or a quota or file size limit is reached."""


class MemoryFullError(GenmintError):
    """The memory of the machine or of the GPU is exhausted."""
