"""When and how kept results are sent: before the requests of a client, oldest first.

Only a server that is not reached stops a delivery. What it cannot take now, such as the result of a study
whose database is broken, waits and holds up nothing else.
"""

import logging
import math
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from optunapi.client.http.session import Session
from optunapi.client.kept_tell import DELIVERY_SECONDS, KeptTell
from optunapi.client.process.forks import PerProcess
from optunapi.client.spool import UNFINISHED, Spool, files_in, private, set_aside, tells_in
from optunapi.errors import (
    BadRequest,
    ConfigInvalid,
    Conflict,
    NotFound,
    OptunAPIError,
    RouteNotFound,
    ServerUnavailable,
)

WAIT_SECONDS = 60.0  # until a process tries a waiting result again

logger = logging.getLogger("optunapi")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a kept result, and why it was not delivered."""

    file: Path
    became: Literal["delivered", "refused", "waiting"]
    reason: str = ""


class Deliveries:
    """Delivers the kept results of the server that a session reaches. Safe across threads and forks."""

    def __init__(self, spool: Spool, session: Session) -> None:
        self._spool = spool
        self._session = session
        self._one_at_a_time = PerProcess(threading.Lock)
        self._news, self._known = object(), object()  # differ after this process has kept a result
        self._look_again = math.inf
        self._in_hand: set[Path] = set()

    def take(self, path: Path) -> None:
        """Leave this file to the caller, who is sending it."""
        self._in_hand.add(path)

    def leave(self, path: Path) -> None:
        """Deliver this file from now on, if it is still there."""
        self._in_hand.discard(path)
        self._news = object()

    def run(self) -> None:
        """Send the kept results, if there may be any.

        They are looked for the first time, after this process has kept one, and a while after one had
        to wait. A result that the server refuses for good, and a file that is none, is set aside with a
        warning.

        Raises:
            ServerUnavailable: the server is not reached.
        """
        if not self._is_due():
            return
        # The other threads wait here: an ask that overtakes the delivery could be handed a trial whose
        # result is being delivered.
        with self._one_at_a_time.get():
            if not self._is_due():
                return
            news = self._news
            waits = self._run()
            self._look_again = time.monotonic() + WAIT_SECONDS if waits else math.inf
            self._known = news

    def run_now(self) -> list[Outcome]:
        """Look for kept results and send them; return what became of each.

        Raises:
            OptunAPIError: the server is not reached, or something else answers at its URL.
            OSError: the results cannot be read.
        """
        folders = self._spool.folders
        found = [*files_in(folders), *files_in(folders, UNFINISHED)]
        if not set(found) - self._in_hand:
            return []
        server = self._session.identify(DELIVERY_SECONDS)
        return [
            each for folder in self._spool.of_server(server) for each in self._of(folder, server)
        ]

    def _run(self) -> bool:
        """Send the kept results; return whether some wait."""
        try:
            outcomes = self.run_now()
        except ServerUnavailable:
            raise
        except (OptunAPIError, OSError) as error:
            logger.warning("kept results are not delivered: %s", error)
            return True
        for each in outcomes:
            if each.became == "refused":
                warnings.warn(f"{each.reason}; it is now in {each.file}", stacklevel=4)
            elif each.became == "waiting":
                logger.warning("%s stays: %s", each.file, each.reason)
        if delivered := sum(each.became == "delivered" for each in outcomes):
            logger.info("%d kept result(s) were delivered to %s", delivered, self._spool.url)
        return any(each.became == "waiting" for each in outcomes)

    def _is_due(self) -> bool:
        return self._news is not self._known or time.monotonic() >= self._look_again

    def _of(self, folder: Path, server: str | None) -> Iterator[Outcome]:
        """Send the results in a folder."""
        stuck: dict[str, str] = {}  # studies that can take nothing now, and why
        if not folder.is_dir():
            return
        with _alone(folder) as is_alone:
            for path in tells_in(folder):
                if path in self._in_hand:
                    continue
                if not is_alone:
                    yield Outcome(file=path, became="waiting", reason="another process delivers it")
                    continue
                try:
                    yield self._sent(path, server, stuck)
                except FileNotFoundError:  # another process was faster, where there are no locks
                    continue
                except OSError as error:
                    yield Outcome(file=path, became="waiting", reason=str(error))

    def _sent(self, path: Path, server: str | None, stuck: dict[str, str]) -> Outcome:
        """Send one result."""
        try:
            tell = KeptTell.read(path)
        except ValueError as error:
            return Outcome(file=set_aside(path), became="refused", reason=str(error))
        if tell.study in stuck:
            return Outcome(file=path, became="waiting", reason=stuck[tell.study])
        if tell.server not in (None, server):
            reason = f"another server, {tell.server}, has its trial"
            return Outcome(file=path, became="waiting", reason=reason)
        try:
            tell.send(self._session)
        except OptunAPIError as error:
            reason = f"{error.code}: {error.detail}"
            if is_final(error):
                reason = f"the server refuses the kept result of {tell} ({reason})"
                return Outcome(file=set_aside(path), became="refused", reason=reason)
            if isinstance(error, ServerUnavailable):
                # A study whose database is locked answers late or not at all: does its server?
                self._session.identify(DELIVERY_SECONDS)
            stuck[tell.study] = reason
            return Outcome(file=path, became="waiting", reason=reason)
        path.unlink(missing_ok=True)
        return Outcome(file=path, became="delivered")


def is_final(error: OptunAPIError) -> bool:
    """Whether the server will never take a result that it refused with this."""
    may_pass = isinstance(
        error, ConfigInvalid | RouteNotFound
    )  # a file, or the URL, will be mended
    return isinstance(error, BadRequest | Conflict | NotFound) and not may_pass


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Whether no other process and no other client delivers from the folder during the block."""
    if sys.platform == "win32":
        yield True
        return
    import fcntl

    with ExitStack() as stack:
        try:
            lock = stack.enter_context(open(folder / ".lock", "a", opener=private))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        except (
            OSError
        ):  # a full disk, or a file system without locks: delivering twice does no harm
            pass
        yield True
