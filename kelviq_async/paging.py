"""Walking a list page by page."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Final, TypeVar
from urllib.parse import parse_qs, urlsplit

import attrs

from .errors import NotFound, UnreadableAnswer
from .request import Page, Request
from .stream import Stream

T = TypeVar("T")

REMEMBERED: Final = 10_000
"""How many of the last rows are remembered, to tell those that shift to a later page."""
STALE_PAGES: Final = 3
"""How many pages in a row may bring nothing new, before the list is taken to go in circles."""


class PageStream(Stream[T]):
    """All rows of a list, one page a call.

    Rows that move to a later page while it is walked come once. It ends with the last page, with a
    link that does not lead onwards, and where page after page brings nothing new.
    """

    def __init__(
        self, request: Request[Page[T]], send: Callable[[Request[Page[T]]], Awaitable[Page[T]]]
    ) -> None:
        super().__init__()
        self._request: Request[Page[T]] | None = request
        self._send = send
        self._paged = any(each.name == "page" for each in request.operation.fields)
        self._seen: OrderedDict[Hashable, None] = OrderedDict()
        self._last: list[T] = []
        self._stale = 0
        self._followed = False

    async def _fetch(self) -> None:
        while self._request is not None and not self._ready:
            request = self._request
            try:
                page = await self._send(request)
            except NotFound as error:
                if not (self._followed and error.message.lower().startswith("invalid page")):
                    raise
                break  # rows went away meanwhile, and the page with them
            if self._done:
                return
            if page.results is None:
                raise UnreadableAnswer("the answer holds no list of rows", operation=request.operation.name)
            self._request = self._after(request, page)
            self._ready.extend(self._new(page.results))
            self._stale = 0 if self._ready else self._stale + 1
            if self._stale == STALE_PAGES:
                break
        self._done = not self._ready
        if self._done:
            self._request = None

    def _after(self, request: Request[Page[T]], page: Page[T]) -> Request[Page[T]] | None:
        """The request of the next page. Its link is believed only where it leads onwards."""
        number = page_number(page.next)
        if not self._paged or number is None or number <= (getattr(request, "page", None) or 1):
            return None
        self._followed = True
        return attrs.evolve(request, page=number)  # type: ignore[misc]

    def _new(self, rows: list[T]) -> list[T]:
        """The rows that have not been there yet."""
        repeated, self._last = rows == self._last, rows
        return [row for row in rows if self._is_new(row, repeated=repeated)]

    def _is_new(self, row: Any, *, repeated: bool) -> bool:
        identity = getattr(row, "id", None) or getattr(row, "identifier", None)
        if not isinstance(identity, str):
            return not repeated  # rows without an id cannot be told apart, but a whole page can
        # one plan has many versions, and each is a row of its own
        key = (identity, getattr(row, "version", None))
        if key in self._seen:
            return False
        self._seen[key] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return True

    async def aclose(self) -> None:
        """End it."""
        self._request = None
        await super().aclose()


def page_number(link: str | None) -> int | None:
    """The number in a link to a page. Nothing else of it is used: it may point anywhere."""
    if not isinstance(link, str):
        return None
    try:
        number = parse_qs(urlsplit(link).query).get("page", [""])[-1]
        return int(number) if number.isascii() and number.isdigit() else None
    except ValueError:
        return None
