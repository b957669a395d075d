"""An event becomes a record of the log. What is repeated for one cause is said once a minute."""

import logging
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Sequence

from optunapi.telemetry.events import Event

logger = logging.getLogger("optunapi.events")

QUIET_SECONDS = 60.0
MAX_KNOWN = 1024
_IS_LOGGED = "_optunapi_is_logged"
MAX_ALIKE = 100  # lines for what one change did to many trials


def is_wanted(event: type[Event]) -> bool:
    """Whether the log's level shows events of this class."""
    return logger.isEnabledFor(event.level)


class Repeats:
    """How often each cause occurred since it was last said. Thread-safe, and bounded.

    Of too many causes the one said longest ago is forgotten, and would be said again.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()
        self._lock = threading.Lock()

    def to_say(self, cause: Hashable) -> int | None:
        """How often the cause occurred unsaid since it was last said; None if it is not time to say it."""
        now = self._clock()
        with self._lock:
            said_at, unsaid = self._said.get(cause, (None, 0))
            if said_at is not None and now - said_at < QUIET_SECONDS:
                self._said[cause] = (said_at, unsaid + 1)
                return None
            self._said[cause] = (now, 0)
            self._said.move_to_end(cause)
            if len(self._said) > MAX_KNOWN:
                self._said.popitem(last=False)
            return unsaid


_repeats = Repeats()


def emit(event: Event, *, error: BaseException | None = None) -> None:
    """Log an event, with the traceback of `error` unless the same one was logged within a minute."""
    if error is not None:
        setattr(error, _IS_LOGGED, True)
    if not is_wanted(type(event)):
        return
    extra: dict[str, object] = {"event": event}
    if event.is_repeatable:
        content = {name: value for name, value in event.content().items() if name != "request_id"}
        unsaid = _repeats.to_say(hash((type(event), repr(content))))
        if unsaid is None:
            return
        if unsaid:
            extra["repeated"] = unsaid
    if error is not None and _repeats.to_say(hash((type(error), str(error)))) is None:
        error = None
    logger.log(event.level, event.message, extra=extra, exc_info=error)


def is_new(record: logging.LogRecord) -> bool:
    """Whether the record is about no exception that an event was emitted for."""
    return not (record.exc_info and getattr(record.exc_info[1], _IS_LOGGED, False))


def emit_all(events: Sequence[Event]) -> None:
    """Log the events of one change. Of many alike the first are logged, and then their number."""
    seen: Counter[type[Event]] = Counter()
    for event in events:
        seen[type(event)] += 1
        if seen[type(event)] <= MAX_ALIKE:
            emit(event)
    for kind, count in seen.items():
        if count > MAX_ALIKE:
            last = next(event for event in reversed(events) if type(event) is kind)
            extra = {"event": last, "more": count - MAX_ALIKE}
            logger.log(kind.level, "%s, and more like it", kind.message, extra=extra)


def is_due(record: logging.LogRecord) -> bool:
    """Whether an error that a library logs was not logged for a minute; its first line names the cause."""
    cause = (record.name, record.getMessage().partition("\n")[0])
    return record.levelno < logging.ERROR or _repeats.to_say(cause) is not None
