"""How many studies and connections may be open. Each needs descriptors, which a process has a limit of."""

import resource
from contextlib import suppress

MOST = 512
MOST_CONNECTIONS = 100_000
OTHERS = 64  # descriptors of the process itself, and of connections that were not looked at yet
FEWEST = 8
# Of an open study: the database, its log, its index twice, the lock file, and one for a look.
FILES = 6
# Descriptors that stay free for connections and other files, or a quarter if that is more.
FREE = 64


def room_for_studies() -> int:
    """The number of studies that may be open under this process's limit of descriptors."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return MOST
    return max(FEWEST, min(MOST, (limit - max(FREE, limit // 4)) // FILES))


def room_for_connections(n_studies: int) -> int:
    """The number of connections that may be open beside `n_studies` studies, by the same limit."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    others = max(OTHERS, limit // 8) + FILES * max(n_studies, FEWEST // 2)
    return max(FEWEST, min(MOST_CONNECTIONS, limit - others))


def raise_limit() -> None:
    """Raise this process's limit of descriptors as far as it may itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        # Some systems refuse what they name as the hard limit.
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
