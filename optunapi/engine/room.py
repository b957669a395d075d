"""How many studies may be open at once: each has files open, and a process may open only so many."""

import resource

MOST = 512
FEWEST = 8
FILES = (
    6  # of an open study: the database, its log, its index twice, the lock file, and one for a look
)
FREE = (
    64  # descriptors that stay free for connections and other files, or a quarter if that is more
)


def room_for_studies() -> int:
    """The number of studies that may be open under this process's limit of descriptors."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return MOST
    return max(FEWEST, min(MOST, (limit - max(FREE, limit // 4)) // FILES))
