"""Queries: a route of v1 takes the parameters that it declares, each once."""

from collections import Counter
from collections.abc import Iterable

from fastapi import Request

from optunapi.api.http.bodies import MAX_ERRORS
from optunapi.errors import RequestInvalid


class KnownQuery:
    """A dependency that lets a request through whose query has these parameters alone, each once.

    A misspelt filter would otherwise be no filter, and the request would act on everything.
    """

    errors = (RequestInvalid,)

    def __init__(self, names: Iterable[str]) -> None:
        self.names = frozenset(names)
        known = ", ".join(sorted(self.names))
        self._unknown = f"this route has {f'the parameters {known}' if known else 'no parameters'}"

    async def __call__(self, request: Request) -> None:
        """Look at the query.

        Raises:
            RequestInvalid: a parameter is unknown, or is given twice, and it is not known which is meant.
        """
        if not request.scope["query_string"]:
            return
        counts = Counter(name for name, _ in request.query_params.multi_items())
        wrong = {name: "give it once" for name, count in counts.items() if count > 1}
        wrong |= {name: self._unknown for name in counts if name not in self.names}
        if not wrong:
            return
        found = [(name[:100], wrong[name]) for name in sorted(wrong)[:MAX_ERRORS]]
        first, reason = found[0]
        raise RequestInvalid(
            f"the query's {first[:40]!r}: {reason}",
            errors=[{"location": ["query", name], "reason": reason} for name, reason in found],
        )
