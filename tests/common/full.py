"""Sources of three kinds, and what is left of a stage."""

import contextlib
import resource


@contextlib.contextmanager
def largest_file(size):
    """No file of this process may grow beyond `size` bytes: EFBIG, as ENOSPC on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
