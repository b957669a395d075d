"""What happens in a study, in order, for those who follow it: kept for a while, then forgotten."""

import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

from optuna.trial import FrozenTrial

from optunapi.engine.store import Commit, Unit
from optunapi.engine.values import StudyView, TrialView

Listener = Callable[[], None]

KEPT = 4096


class Report:
    """The events of one unit. Until that has ended nobody knows its commit."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._has_ended = False

    def end(self) -> None:
        """The unit has ended."""
        self._has_ended = True

    @property
    def commit(self) -> Commit | None:
        """Its events may be shown once this is done; if it is refused they have not happened."""
        return self._unit.commit if self._has_ended else None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Event:
    """A change: of a trial or the study, shown as it became; or, at `reset`, of who knows what.

    Each is one of its kind: what is made of it can be kept for all who follow.
    """

    id: int
    view: TrialView | StudyView | None
    report: Report

    @property
    def kind(self) -> Literal["trial", "study", "reset"]:
        """What changed."""
        match self.view:
            case TrialView():
                return "trial"
            case StudyView():
                return "study"
        return "reset"


class Feed:
    """The latest events of one study, at most `kept`, and whom to tell of them. Thread-safe.

    Ids rise by one from `first_id` on. Nothing is kept before somebody has followed: nobody could
    know an id to go on from. A feed is `closed` when its study is deleted or no longer served.
    """

    def __init__(self, first_id: int = 0, *, kept: int = KEPT) -> None:
        self.last_id = first_id
        self.is_followed = False
        self.closed = False
        self._events: deque[Event] = deque(maxlen=kept)
        self._listeners: list[Listener] = []
        self._lock = threading.Lock()

    @property
    def has_listeners(self) -> bool:
        """Whether anybody wants to be told."""
        return bool(self._listeners)

    def listen(self, listener: Listener) -> Listener:
        """Call `listener` after every change, and at the end, until the function returned is called.

        It is called in the thread that made the change, and must not wait for anything.
        """
        with self._lock:
            self._listeners.append(listener)

        def stop() -> None:
            with self._lock:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return stop

    def follow(self) -> None:
        """Keep events from now on."""
        self.is_followed = True

    def add(self, views: Sequence[TrialView | StudyView | None], report: Report) -> None:
        """The events of a unit, to be called inside it: their order is that of the units."""
        with self._lock:
            for view in views:
                self.last_id += 1
                self._events.append(Event(id=self.last_id, view=view, report=report))

    def tell(self) -> None:
        """Call those who listen; not to be called inside a unit."""
        with self._lock:
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener()

    def since(self, event_id: int, limit: int) -> list[Event] | None:
        """At most `limit` events behind this id; None if it is none of this feed's, or forgotten."""
        with self._lock:
            behind = self.last_id - event_id
            if not 0 <= behind <= len(self._events):
                return None
            start = len(self._events) - behind
            return [self._events[start + place] for place in range(min(limit, behind))]

    def close(self) -> None:
        """Nothing happens any more."""
        self.closed = True
        self.tell()


class News:
    """The changes of the unit under way; not to be used outside one.

    `describe` gives the study as it is, `status` what of it changes by itself, as its trials or the
    time do: the study counts as changed when that did. Without listeners it costs next to nothing.
    """

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.describe: Callable[[], StudyView] | None = None
        self.status: Callable[[], Hashable] = str
        self._last_status: Hashable = None
        self._begin()

    def _begin(self) -> None:
        self._trials: dict[int, FrozenTrial] = {}
        self._study = False
        self._was_reread = False
        self._time_passed = False
        self._is_deleted = False

    def trial(self, trial: FrozenTrial) -> None:
        """The trial is new or changed."""
        self._trials[trial.number] = trial

    def study(self) -> None:
        """The study itself changed."""
        self._study = True

    def reread(self) -> None:
        """Anything may have changed: the study was read again."""
        self._was_reread = True

    def time_passed(self) -> None:
        """A lease ran out: nothing changed, but an ask may get what it would not have got before."""
        self._time_passed = True

    def deleted(self) -> None:
        """There is nothing left to report of."""
        self._is_deleted = True

    def drop(self) -> None:
        """The unit failed: nothing has happened."""
        self._begin()

    def follow(self) -> None:
        """Report every change from now on."""
        if not self.feed.is_followed:
            self._last_status = self.status()
            self.feed.follow()

    def report(self, unit: Unit, view: Callable[[FrozenTrial], TrialView]) -> Report | None:
        """The report of the unit that is about to end; None if there is nobody to tell, or nothing."""
        views: list[TrialView | StudyView | None] = [None] if self._was_reread else []
        changed = self._study or self._time_passed or self._was_reread or bool(self._trials)
        if self.feed.is_followed and not self._is_deleted:
            if (status := self.status()) != self._last_status:
                self._last_status = status
                self._study = True
            views += map(view, self._trials.values())
            if self._study and self.describe is not None:
                views.append(self.describe())
        self._begin()
        if not views and not (changed and self.feed.has_listeners):
            return None
        report = Report(unit)
        self.feed.add(views, report)
        return report
