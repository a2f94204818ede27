"""What a user can do wrong, as exceptions that carry their exit code."""


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


class RegistryUnreachableError(GenmintError):
    """The tracking server or registry does not answer. Never a verdict on a model."""
