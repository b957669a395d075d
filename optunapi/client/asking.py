"""What an ask says of its worker and of the trial it wants."""

import os
import socket
from collections.abc import Mapping
from typing import Any


def ask_body(
    worker: str | None,
    resume: bool,
    lease_seconds: float | None,
    params: Mapping[str, Any] | None,
    user_attrs: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """An ask's body: what is given, and this process as the worker unless another is."""
    body: dict[str, Any] = {"worker": worker or this_worker()}
    given = {
        "resume": resume or None,
        "lease_seconds": lease_seconds,
        "params": params and dict(params),
        "user_attrs": user_attrs and dict(user_attrs),
    }
    return body | {name: value for name, value in given.items() if value is not None}


def this_worker() -> str:
    """This host's name and the process id: a worker's name stands for one process."""
    return f"{socket.gethostname()[:200]}-{os.getpid()}"
