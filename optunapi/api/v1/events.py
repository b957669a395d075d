"""A study's events, to follow it without asking again and again."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Header

from optunapi.api.http.openapi import gives
from optunapi.api.serving.dispatch import in_thread
from optunapi.api.serving.event_stream import MEDIA_TYPE, EventStream
from optunapi.api.serving.wakeups import Bell
from optunapi.api.v1.parameters import ON_STUDY, Name
from optunapi.engine.catalog import Catalog

ID = re.compile(r"[0-9]{1,16}")
EVENTS: dict[str, Any] = {
    "description": "Events `trial` and `study`, whose data is the Trial or Study as it became, and "
    "`reset`: some were missed, list again. The stream ends with the study, with the server, and "
    "when the client reads too slowly.",
    "content": {
        MEDIA_TYPE: {
            "schema": {"type": "string"},
            "example": "id: 1795255200000007\nevent: trial\n"
            'data: {"study":"cifar","number":7,"state":"running"}\n\n',
        }
    },
}


def router(catalog: Catalog) -> APIRouter:
    """The route by which the studies of `catalog` are followed."""
    routes = APIRouter(tags=["studies"])

    @routes.get(
        "/studies/{name}/events",
        status_code=200,
        response_class=EventStream,
        responses={**gives(200, None, "", *ON_STUDY), 200: EVENTS},
    )
    async def events(
        name: Name,
        last_event_id: Annotated[
            str | None,
            Header(max_length=255, description="Go on behind this event."),
        ] = None,
    ) -> EventStream:
        """What happens in a study, as server-sent events, each when it is committed."""
        bell = Bell()
        feed, stop = await in_thread(lambda: (catalog.listen(name, bell, keep_events=True),))
        known = last_event_id is not None and ID.fullmatch(last_event_id)
        return EventStream(
            feed,
            stop,
            bell,
            last_id=int(last_event_id) if last_event_id and known else None,
            resumes=bool(last_event_id),
        )

    return routes
