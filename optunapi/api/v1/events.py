"""The events of one study or of all, to follow them without asking again and again."""

import re
from typing import Annotated, Any

from fastapi import Depends, Header, Request

from optunapi.api.serving.access import Read
from optunapi.api.serving.connections import Connections
from optunapi.api.serving.dispatch import CATALOG
from optunapi.api.serving.event_stream import MEDIA_TYPE, EventStream
from optunapi.api.serving.wakeups import Wakeup
from optunapi.api.v1.parameters import Name, v1_routes
from optunapi.engine.state.feed import Feed, Listener

routes = v1_routes("studies")


def connections_of(request: Request) -> Connections:
    """The server's connections."""
    found: Connections = request.app.state.connections
    return found


Opened = Annotated[Connections, Depends(connections_of)]
ID = re.compile(r"[0-9]{1,16}")
LastEventId = Annotated[
    str | None, Header(max_length=255, description="Continue after this event.")
]


def _described(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {
            MEDIA_TYPE: {
                "schema": {"type": "string"},
                "example": "id: 1795255200000007\nevent: trial\n"
                'data: {"study":"cifar","number":7,"state":"running"}\n\n',
            }
        },
    }


EVENTS = _described(
    "Events `trial` and `study`, whose data is the changed Trial or Study, and `reset`: some events were "
    "missed, list again. The stream ends with the study, with the server, and when the client reads too "
    "slowly."
)
ALL_EVENTS = _described(
    "Events `trial` and `study`, whose data is the changed Trial or Study with the name of the study in "
    "`study`. A Study has `deleted` beside it, and its first event is its creation. A `reset` says that "
    "events were missed: list the study that it names again, or all if it names none. The stream ends "
    "with the server, and when the client reads too slowly."
)


@routes.add(
    "GET", "/studies/{name}/events", None, "", replies={200: EVENTS}, response_class=EventStream
)
async def events(
    dispatch: Read,
    connections: Opened,
    name: Name,
    last_event_id: LastEventId = None,
) -> EventStream:
    """What happens in a study, as server-sent events, each when it is committed."""
    wakeup = Wakeup()
    feed, stop = await dispatch.read(
        CATALOG, lambda catalog: (catalog.listen(name, wakeup, keep_events=True),), about=name
    )
    return _stream(feed, stop, wakeup, connections, last_event_id)


@routes.add("GET", "/events", None, "", replies={200: ALL_EVENTS}, response_class=EventStream)
async def events_of_all_studies(
    dispatch: Read, connections: Opened, last_event_id: LastEventId = None
) -> EventStream:
    """What happens in all studies, as server-sent events, each when it is committed."""
    wakeup = Wakeup()
    feed, stop = await dispatch.read(CATALOG, lambda catalog: (catalog.listen_to_all(wakeup),))
    return _stream(feed, stop, wakeup, connections, last_event_id)


def _stream(
    feed: Feed,
    stop: Listener,
    wakeup: Wakeup,
    connections: Connections,
    last_event_id: str | None,
) -> EventStream:
    known = last_event_id is not None and ID.fullmatch(last_event_id)
    return EventStream(
        feed,
        stop,
        wakeup,
        connections,
        last_id=int(last_event_id) if last_event_id and known else None,
        resumes=bool(last_event_id),
    )
