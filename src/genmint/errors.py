"""What a user can do wrong, as exceptions that carry their exit code."""

# Names the file in which a stage leaves its failure for the flow that started it: what stood on
# stderr is then not all that the flow knows.
FAILURE_FILE = "GENMINT_FAILURE"


class GenmintError(Exception):
    """A failure that a person can mend; printed as one line, without a traceback.

    The message names the file, key or row, and the way out.
    """

    exit_code = 1


class ConfigError(GenmintError):
    """Wrong usage or configuration (exit code 2)."""

    exit_code = 2


class DataError(GenmintError):
    """Data that cannot be read, is not what it claims to be, or may not enter."""


class TemporaryError(GenmintError):
    """What may be gone at the next attempt: a lock, the network, the tracker."""


class RegistryError(GenmintError):
    """The tracking server or registry answered with an error, or not at all.

    Never a verdict on a model, and never "none": what is not there is an answer of its own.
    """


class RegistryUnreachableError(RegistryError, TemporaryError):
    """The tracking server or registry does not answer, or fails: another attempt may succeed."""


class RegistryDeniedError(RegistryError):
    """The tracking server or registry refuses this user: another attempt is in vain."""


class RegistryMissingError(RegistryError):
    """The tracking server or registry says that there is no such thing."""


class RegistryRefusedError(RegistryError):
    """The tracking server or registry does not accept a request."""


class SourceUnreachableError(DataError, TemporaryError):
    """A named data set cannot be fetched for want of a connection."""


class TrainsElsewhereError(GenmintError):
    """Nothing may train in this process (`GENMINT_DEVICE=none`): a worker has to."""


class DiskFullError(GenmintError):
    """The disk, the user's quota or the limit of a file's size is reached."""


class MemoryFullError(GenmintError):
    """The memory of the machine or of the GPU is used up."""
