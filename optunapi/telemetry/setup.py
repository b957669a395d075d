"""Where a server's log goes: one handler on stderr, for our own lines, uvicorn's and all others."""

import logging
import sys
import warnings

from optunapi.telemetry.emit import is_due, is_new
from optunapi.telemetry.format import FORMATS

# Loggers that have handlers of their own, which would write the same lines once more.
OTHERS = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi", "optuna", "py.warnings")
ACCESS = "uvicorn.access"


def set_up(*, form: str, level: str | None, access_lines: bool) -> None:
    """Write the log to stderr: `form` is `text` or `json`, `level` a name such as `info`.

    Without a level uvicorn's is used. Lines for each request are off unless `access_lines`. Where logging
    is configured already, by `uvicorn --log-config` for example, it stays as it is.
    """
    # uvicorn logs an exception that the application raises, which has logged it before.
    logging.getLogger("uvicorn.error").addFilter(is_new)
    # asyncio logs each connection that it could not accept, thousands of times a second.
    logging.getLogger("asyncio").addFilter(is_due)
    ours, root = logging.getLogger("optunapi"), logging.getLogger()
    uvicorn, errors, access = (logging.getLogger(name) for name in OTHERS[:3])
    if not all(map(_is_default, (*root.handlers, *ours.handlers, *uvicorn.handlers))):
        if not root.handlers and not ours.handlers:
            ours.handlers = list(uvicorn.handlers)
            ours.setLevel(uvicorn.getEffectiveLevel())
        return
    least = logging.getLevelName(level.upper()) if level else errors.level or logging.INFO
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(FORMATS[form]())
    root.handlers = [handler]
    root.setLevel(max(least, logging.WARNING))
    for logger in (ours, *map(logging.getLogger, OTHERS)):
        logger.handlers = []
        logger.propagate = True
        logger.setLevel(logging.NOTSET)
    ours.setLevel(least)
    uvicorn.setLevel(least)
    # uvicorn makes no lines for a logger that leads to no handler.
    access.propagate = access_lines
    logging.captureWarnings(True)
    # Optuna warns each time that such a study is read; its trials are served as they are.
    warnings.filterwarnings("ignore", "Choices for a categorical distribution should be a tuple")


def _is_default(handler: logging.Handler) -> bool:
    """Whether this is a handler that uvicorn has if nobody says where the log goes."""
    return (
        type(handler) is logging.StreamHandler
        and handler.stream in (sys.stderr, sys.stdout)
        and type(handler.formatter).__module__.startswith("uvicorn.")
    )
