"""The way from a handler to the engine: what runs on the event loop, what in a thread, what waits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from functools import partial
from typing import Any, Final, Literal, cast, overload

from optunapi.api.serving.ask_groups import AskGroups
from optunapi.api.serving.long_poll import LongPoll, Patience
from optunapi.api.serving.openings import Openings
from optunapi.api.serving.operations import (
    Call,
    Operation,
    Outcome,
    Value,
    Work,
    in_thread,
    outcome_of,
    settled,
    study_with_trials,
)
from optunapi.api.serving.sampling_slots import SamplingSlots
from optunapi.engine.catalog import Catalog
from optunapi.engine.spec.model import StudySpec
from optunapi.errors import StorageClosed, StudyNotFound


class _Special(Enum):
    CATALOG = "catalog"
    UNSET = "unset"


# In place of a study's name: the operation gets the whole catalog.
CATALOG: Final = _Special.CATALOG
_UNSET: Final = _Special.UNSET


class Dispatch:
    """Runs the operations of handlers. To be used on one event loop alone.

    An operation gets the study of a name, and returns a value and the commits that it rests on. The
    caller gets the value once they are done. An operation may run several times: when another process
    wrote to the database first, its changes did not happen.

    An operation on a study that was never asked from does not run: the caller gets `absent`. Without
    `absent` it is an operation on one trial: TrialNotFound is raised then. Such an operation is short,
    and runs on the event loop while the study is open and free, because a change of thread would cost
    more than the operation. All others run in a thread.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._groups = AskGroups(catalog)
        self._slots = SamplingSlots()
        self._openings = Openings(catalog)
        self._long_poll = LongPoll(catalog, self._openings)

    @overload
    def read(
        self,
        place: str,
        operation: Operation[Value],
        *,
        absent: object = ...,
        check: Callable[[StudySpec], object] | None = ...,
        scans: bool = ...,
    ) -> Awaitable[Value]: ...

    @overload
    def read(
        self,
        place: Literal[_Special.CATALOG],
        operation: Work[Value],
        *,
        about: str | None = ...,
    ) -> Awaitable[Value]: ...

    def read(
        self,
        place: Any,
        operation: Any,
        *,
        absent: Any = _UNSET,
        check: Callable[[StudySpec], object] | None = None,
        scans: bool = False,
        about: str | None = None,
    ) -> Awaitable[Any]:
        """Return what an operation sees that changes nothing.

        `check` refuses by the specification what the operation would refuse, where there is `absent`
        alone. With `scans` the operation may look at every trial, so that it runs in a thread. An
        operation on the catalog may be `about` one study, which is opened before.

        Raises:
            StudyNotFound, ConfigInvalid: as `Catalog.find`.
            TrialNotFound: the study was never asked from, and there is no `absent`.
            OptunAPIError: whatever the operation raises.
        """
        if place is CATALOG:
            return settled(self._in_thread, about, operation)
        if absent is not _UNSET:
            find = partial(Catalog.find, check=check)
            return settled(self._in_thread, place, Call(place, operation, find, absent))
        call = Call(place, operation, study_with_trials)
        return settled(self._in_thread, place, call) if scans else settled(self._on_loop, call)

    @overload
    async def change(
        self,
        place: str,
        operation: Operation[Value],
        *,
        absent: object = ...,
        scans: bool = ...,
        check: Callable[[StudySpec], object] | None = ...,
        draw_ahead: bool = ...,
    ) -> Value: ...

    @overload
    async def change(
        self,
        place: Literal[_Special.CATALOG],
        operation: Work[Value],
        *,
        about: str | None = ...,
    ) -> Value: ...

    async def change(
        self,
        place: Any,
        operation: Any,
        *,
        absent: Any = _UNSET,
        scans: bool = False,
        check: Callable[[StudySpec], object] | None = None,
        draw_ahead: bool = False,
        about: str | None = None,
    ) -> Any:
        """Return the value of an operation once its changes are committed.

        With `check` a study that was never asked from is created first, if `check` does not refuse its
        specification. With `scans` the operation runs in a thread; with `draw_ahead` the
        sampler may draw the next ask's point afterwards.

        Raises:
            StudyNotFound, ConfigInvalid, TrialNotFound, OptunAPIError: as `read`, and as `check`.
        """
        if check is not None:
            find = partial(Catalog.for_ask, check=check)
            return await settled(self._in_thread, place, Call(place, operation, find))
        if place is CATALOG:
            return await settled(self._in_thread, about, operation)
        value = await self.read(place, operation, absent=absent, scans=scans)
        if draw_ahead:
            self._groups.draw_ahead(place)
        return value

    def ask(
        self,
        name: str,
        operation: Operation[Value],
        *,
        count: int = 1,
        params: Mapping[str, Any] | None = None,
        patience: Patience | None = None,
    ) -> Awaitable[Value]:
        """Return what an operation hands out; the study is created if it was never asked from.

        `count` is how many trials it hands out, and `params` are the parameters that it fixes. With
        `patience` it is repeated until a trial or a place is free.

        Raises:
            StudyNotFound, ConfigInvalid, ValueInvalid: as `Catalog.for_ask`.
            OptunAPIError: whatever the operation raises.
        """
        find = partial(Catalog.for_ask, params=params) if params else Catalog.for_ask
        call = Call(name, operation, find)
        attempt = self._in_group if count == 1 else self._in_slot
        if patience is None:
            return settled(attempt, call)
        # Only asks for trials have patience: those that are not received are given back.
        views = self._long_poll.ask(cast(Any, call), attempt, patience, is_choosy=bool(params))
        return cast(Awaitable[Value], views)

    def sample(self, name: str, operation: Operation[Value]) -> Awaitable[Value]:
        """Return the value of an operation on one trial that may need the study's sampler.

        Raises: as `read`.
        """
        return settled(self._in_slot, Call(name, operation, study_with_trials))

    async def _on_loop(self, call: Call[Value]) -> Outcome[Value]:
        study = self._catalog.served(call.name)
        if study is not None:
            try:
                with study.try_exclusive() as is_free:
                    if is_free:
                        return outcome_of(study, call.operation)
            except (StudyNotFound, StorageClosed):
                pass  # gone meanwhile: there may be another of its name
        return await self._in_thread(call.name, call)

    async def _in_thread(self, name: str | None, work: Work[Value]) -> Outcome[Value]:
        if name is not None:
            await self._openings.of(name)
        return await in_thread(self._catalog, work)

    async def _in_group(self, call: Call[Value]) -> Outcome[Value]:
        study = self._catalog.served(call.name)
        if study is not None and study.asks_are_quick:
            outcome = await self._groups.outcome_of(call)
            if outcome is not None:
                return outcome
        return await self._in_slot(call)

    async def _in_slot(self, call: Call[Value]) -> Outcome[Value]:
        await self._openings.of(call.name)  # before it holds a slot that other studies may need
        async with self._slots.of(call.name):
            return await in_thread(self._catalog, call)
