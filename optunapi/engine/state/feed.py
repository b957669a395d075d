"""The events of a study, or of all studies, for readers who follow them.

A reader gets every committed change, in order, as an `Event` with an id, and may continue after any id
that the feed still has. A listener is only notified that there may be something new.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from optuna.trial import FrozenTrial

from optunapi.engine.store import Commit, Unit
from optunapi.engine.values import StudyView, TrialView
from optunapi.errors import StorageUnavailable
from optunapi.telemetry import events as log

Listener = Callable[[], None]

View = TrialView | StudyView | None

KEPT = 4096


class UnitCommit:
    """The commit of a unit, which is not known before the unit has ended."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._has_ended = False

    def end(self) -> None:
        """The unit has ended."""
        self._has_ended = True

    def get(self) -> Commit | None:
        """The commit, or None while the unit goes on."""
        return self._unit.commit if self._has_ended else None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Event:
    """A trial or the study after a change; `view` is None if anything may have changed.

    `study` is the study's name in a feed of all studies, and None in the feed of one.
    Events are compared by identity, so that a reader can cache what it makes of one.
    """

    id: int
    view: View
    unit: UnitCommit
    study: str | None = None

    @property
    def kind(self) -> Literal["trial", "study", "reset"]:
        """What changed."""
        match self.view:
            case TrialView():
                return "trial"
            case StudyView():
                return "study"
        return "reset"

    @property
    def commit(self) -> Commit | None:
        """The event may be shown once this is done; if it is refused, the event has not happened.

        None while the change is still under way.
        """
        return self.unit.get()


class Feed:
    """The latest events of one study or of all, at most `kept`, and its listeners. Thread-safe.

    Ids rise by one from `first_id` on. Events are kept from the first `keep_events` on: before that
    no reader could know an id to go on from. A feed is `closed` when its study is deleted or no
    longer served.
    """

    def __init__(self, first_id: int = 0, *, kept: int = KEPT) -> None:
        self.last_id = first_id
        self.keeps_events = False
        self.closed = False
        self._events: deque[Event] = deque(maxlen=kept)
        self._listeners: list[Listener] = []
        self._lock = threading.Lock()

    @property
    def has_listeners(self) -> bool:
        """Whether there are listeners."""
        return bool(self._listeners)

    def listen(self, listener: Listener) -> Listener:
        """Call `listener` after every change and at the end; call the returned function to stop that.

        The listener is called in the thread that made the change, and must not block.
        """
        with self._lock:
            self._listeners.append(listener)

        def stop() -> None:
            with self._lock:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return stop

    def keep_events(self) -> None:
        """Keep events from now on."""
        self.keeps_events = True

    def add(self, views: Sequence[View], unit: UnitCommit, study: str | None = None) -> None:
        """Add the events of a unit, if events are kept: call it inside the unit, so that they are in order.

        A feed of all studies gets them from `CommittedEvents` instead.
        """
        if not self.keeps_events:
            return
        with self._lock:
            for view in views:
                self.last_id += 1
                event = Event(id=self.last_id, view=view, unit=unit, study=study)
                self._events.append(event)

    def notify(self) -> None:
        """Call the listeners. Do not call it inside a unit."""
        with self._lock:
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener()

    def since(self, event_id: int, limit: int) -> list[Event] | None:
        """At most `limit` events behind this id; None if the id is unknown or no longer kept."""
        with self._lock:
            behind = self.last_id - event_id
            if not 0 <= behind <= len(self._events):
                return None
            start = len(self._events) - behind
            return [self._events[start + place] for place in range(min(limit, behind))]

    def close(self) -> None:
        """End the feed: nothing happens any more."""
        self.closed = True
        self.notify()


class CommittedEvents:
    """Passes the events of one study on to a feed of all studies, in order, each once it is committed.

    The feed gets no event before its commit: else one slow database would hold up the events of all.
    """

    def __init__(self, feed: Feed, study: str) -> None:
        self._feed = feed
        self._study = study
        self._waiting: deque[tuple[Sequence[View], UnitCommit]] = deque()
        self._lock = threading.Lock()

    def add(self, views: Sequence[View], unit: UnitCommit) -> None:
        """Add the events of a unit. Call it inside the unit."""
        self._waiting.append((views, unit))

    def pass_on(self) -> None:
        """Pass on what is committed, and drop what was refused. Does not block."""
        # Two threads that have ended units may come here in the other order. What the later one finds
        # first in the queue may not have ended yet: the earlier one then passes on both.
        with self._lock:
            while self._waiting:
                views, unit = self._waiting[0]
                commit = unit.get()
                if commit is None:
                    break
                try:
                    commit.result(0)
                except TimeoutError:
                    break
                except StorageUnavailable:
                    views = ()
                self._waiting.popleft()
                self._feed.add(views, unit, self._study)
        self._feed.notify()


@dataclass(kw_only=True)
class UnitChanges:
    """What has changed in the unit under way.

    `is_reread` means that anything may have changed. `lease_expired` means that an ask may now get a trial
    whose lease has expired, although nothing stored has changed.
    """

    trials: dict[int, FrozenTrial] = field(default_factory=dict)
    study: bool = False
    is_reread: bool = False
    lease_expired: bool = False
    is_deleted: bool = False
    last_view: StudyView | None = None  # of a study that is deleted
    may_finish: bool = False  # the study may have become finished, paused or open
    events: list[log.Event] = field(default_factory=list)  # for the log, once it is committed

    def __bool__(self) -> bool:
        return bool(self.trials) or self.study or self.is_reread or self.lease_expired
