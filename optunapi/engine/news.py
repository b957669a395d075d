"""What one unit after another changes in a study, gathered for those who follow or wait."""

from collections.abc import Callable, Hashable

from optuna.trial import FrozenTrial

from optunapi.engine.state.feed import Feed, Report
from optunapi.engine.store import Unit
from optunapi.engine.values import StudyView, TrialView


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
