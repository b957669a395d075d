"""Server-sent events: changes of one study or of all, as they are committed, to a client that reads."""

import asyncio
from collections.abc import Iterable
from functools import lru_cache
from itertools import groupby
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from optunapi.api.http.replies import NO_STORE, strict_json
from optunapi.api.schemas.studies import study_of
from optunapi.api.schemas.trials import trial_of
from optunapi.api.serving.connections import Connections
from optunapi.api.serving.wakeups import Wakeup, watched
from optunapi.engine.state.feed import Event, Feed, Listener
from optunapi.engine.store import Commit
from optunapi.engine.values import StudyView, TrialView
from optunapi.errors import StorageUnavailable

MEDIA_TYPE = "text/event-stream"
HEADERS = {**NO_STORE, "X-Accel-Buffering": "no"}  # nginx would collect events before it sends them

KEEP_ALIVE_SECONDS = 15.0
SEND_SECONDS = 10.0  # how long a client may not read
CHUNK = 100  # how many events are looked at together

# JSON allows these, but clients that split lines by Unicode's rules would split a message there.
LINE_ENDS = {number: f"\\u{number:04x}" for number in (0x85, 0x2028, 0x2029)}


class EventStream(StreamingResponse):
    """The events after `last_id`, or from now on if that is None or no longer in the feed.

    The stream ends when the client goes, when the feed is closed, and when the client reads too slowly:
    when its next event is no longer in the feed, or when nothing more can be sent to it.
    """

    def __init__(
        self,
        feed: Feed,
        stop: Listener,
        wakeup: Wakeup,
        connections: Connections,
        *,
        last_id: int | None,
        resumes: bool,
    ) -> None:
        super().__init__((), headers=HEADERS, media_type=MEDIA_TYPE)
        self._feed = feed
        self._stop = stop
        self._wakeup = wakeup
        self._connections = connections
        self._last_id = feed.last_id
        self._is_lost = resumes
        if resumes and last_id is not None and feed.since(last_id, 1) is not None:
            self._last_id, self._is_lost = last_id, False

    async def __call__(
        self,
        scope: Scope,  # noqa: ARG002  # ASGI's interface
        receive: Receive,
        send: Send,
    ) -> None:
        """Send events until the stream ends.

        Raises:
            ServerFull: the server has too many streams.
        """
        try:
            with self._connections.stream():
                await self._send_until_the_end(receive, send)
        finally:
            self._stop()

    async def _send_until_the_end(self, receive: Receive, send: Send) -> None:
        async with watched(receive) as leaving:
            sending = asyncio.create_task(self._send_all(send))
            try:
                await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
                if sending.done() and not sending.result() and _cut(receive):
                    await leaving
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)

    async def _send_all(self, send: Send) -> bool:
        """Send events; False if the client reads too slowly."""
        try:
            start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
            await _sent(send, start)
            await self._write(send, ": what happens from now on\n")
            if self._is_lost:
                await self._write(send, _message(self._last_id, "reset", {}))
            while True:
                self._wakeup.clear()  # before the feed is looked at, so that no change is missed
                events = self._feed.since(self._last_id, CHUNK)
                if events is None:
                    return False
                if await self._write_events(send, events):
                    continue
                if self._feed.closed:
                    await _sent(send, {"type": "http.response.body"})
                    return True
                if not await self._wakeup.wait(KEEP_ALIVE_SECONDS):
                    await self._write(send, ": still here\n")
        except TimeoutError:
            return False
        except OSError:  # what servers since ASGI 2.4 raise when the client has gone
            return True

    async def _write_events(self, send: Send, events: Iterable[Event]) -> bool:
        """Wait until the events are committed and write them; False if there were none."""
        found = False
        for commit, together in groupby(events, key=lambda event: event.commit):
            if commit is None:
                return found  # its unit is about to end, which calls the wakeup
            found = True
            group = list(together)
            if await _is_committed(commit):
                await self._write(send, "".join(map(_text, group)))
            self._last_id = group[-1].id
        return found

    async def _write(self, send: Send, text: str) -> None:
        body = {"type": "http.response.body", "body": text.encode(), "more_body": True}
        await _sent(send, body)


async def _sent(send: Send, message: dict[str, Any]) -> None:
    """Send; raise TimeoutError if the client does not read."""
    async with asyncio.timeout(SEND_SECONDS):
        await send(message)


async def _is_committed(commit: Commit) -> bool:
    try:
        await commit
    except StorageUnavailable:
        return False
    return True


@lru_cache(maxsize=CHUNK)
def _text(event: Event) -> str:
    """An event as it is sent to every client."""
    return _message(event.id, event.kind, _content(event))


def _content(event: Event) -> dict[str, Any]:
    of_study = {} if event.study is None else {"study": event.study}
    match event.view:
        case TrialView():
            return trial_of(event.view)
        case StudyView() if event.study is None:
            return study_of(event.view)
        case StudyView():
            return of_study | study_of(event.view) | {"deleted": event.view.is_deleted}
    return of_study


def _message(event_id: int, kind: str, content: dict[str, Any]) -> str:
    data = strict_json(content).decode().translate(LINE_ENDS)
    return f"id: {event_id}\nevent: {kind}\ndata: {data}\n\n"


def _cut(receive: Receive) -> bool:
    """End the connection at once; False if the server cannot.

    An orderly end waits until the client has read everything. This client does not read, and a server
    that stops would wait for it. ASGI cannot end a connection, but uvicorn's transport can.
    """
    cycle = getattr(receive, "__self__", None)
    abort = getattr(getattr(cycle, "transport", None), "abort", None)
    if abort is None:
        return False
    abort()
    return True
