"""One server, as studies and trials see it: requests, kept results and held trials.

    call     tries again while the server is away, and delivers kept results before each attempt
    pages    calls for each page of a list

`call` uses `Session.send`, which sends a request once.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from optunapi.client.delivery import Deliveries
from optunapi.client.http.retries import Retries
from optunapi.client.http.session import Request, Session
from optunapi.client.leases import HeldTrials
from optunapi.client.spool import Spool
from optunapi.errors import OptunAPIError

PAGE = 500
# Keys that the replies have. A reply without them, such as a network's login page, is not the server's.
STUDY_FIELDS = ("slug", "spec_version")
TRIAL_FIELDS = ("number", "spec_version")


class Connection:
    """What the studies and trials of one client share. Safe across threads and forks.

    Attributes:
        session: Sends requests once.
        retries: For how long a request is tried again.
        spool: The results that could not be sent.
        deliveries: Sends those.
        held: The trials that this process holds.
    """

    def __init__(
        self, url: str, *, token: str | None, timeout: float, retry_for: float, verify: bool | str
    ) -> None:
        self.session = Session(url, token=token, timeout=timeout, verify=verify)
        self.url = self.session.url
        self.retries = Retries(seconds=retry_for)
        self.spool = Spool(self.url)
        self.deliveries = Deliveries(self.spool, self.session)
        self.held = HeldTrials(self.session)
        self._copy = partial(
            Connection, url, token=token, timeout=timeout, retry_for=retry_for, verify=verify
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return self._copy, ()  # the same server, and no held trials

    def call(
        self,
        method: str,
        *path: str,
        failed: Callable[[OptunAPIError], object] = lambda _: None,
        **options: Any,
    ) -> Any:
        """Return the content of the reply to a request; `options` are the fields of `Request`.

        `failed` is called with the error of each try.

        Raises:
            OptunAPIError: the server refuses.
            ServerUnavailable: the server was not reached for `retry_for` seconds.
        """
        request = Request(method=method, path=path, **options)

        def attempt() -> Any:
            try:
                # First the kept results: an ask must not be handed a trial whose result waits here.
                self.deliveries.run()
                return self.session.send(request)
            except OptunAPIError as error:
                failed(error)
                raise

        return self.retries.run(attempt, is_repeatable=request.is_repeatable)

    def pages(
        self, *path: str, query: Mapping[str, str | float] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Iterate over the items of a list; each page is requested when it is reached.

        Raises: as `call`.
        """
        page: dict[str, str | float] = {"limit": PAGE}
        while True:
            found = self.call(
                "GET", *path, query={**(query or {}), **page}, fields=("items", "next")
            )
            yield from found["items"]
            if found["next"] is None:
                return
            page["page"] = found["next"]
