"""From a method and a path to an operation."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple
from urllib.parse import unquote

from ..request import Operation, operations

_GET: Final = "GET"
_HEAD: Final = "HEAD"


class Match(NamedTuple):
    """An operation and what stood in its path.

    Attributes:
        operation: The operation, or None where the path exists for other methods only.
        path: Path parameters, decoded.
        exact: Whether the slash at the end is as documented.
        allowed: The methods that the path exists for, where the one that was asked for is none of them.
    """

    operation: Operation | None
    path: Mapping[str, str]
    exact: bool
    allowed: Sequence[str] = ()


@functools.cache
def _table() -> dict[int, list[tuple[tuple[str, ...], Operation]]]:
    """Operations by number of path segments; those with fewer parameters come first."""
    table: dict[int, list[tuple[tuple[str, ...], Operation]]] = {}
    for operation in operations():
        segments = tuple(operation.path.strip("/").split("/"))
        table.setdefault(len(segments), []).append((segments, operation))
    for rows in table.values():
        rows.sort(key=lambda row: sum(segment.startswith("{") for segment in row[0]))
    return table


@functools.cache
def _literals() -> dict[tuple[str, str], Operation]:
    """Operations without parameters in their path, by method and path."""
    return {(each.method, each.path.strip("/")): each for each in operations() if "{" not in each.path}


def match(method: str, path: str) -> Match | None:
    """The operation for a path without ``/api/v1``, with or without its slash; None if there is none.

    Args:
        method: HTTP method. HEAD finds what GET does; that no body is sent is for the sender to see to.
        path: Encoded path.
    """
    method = _GET if method == _HEAD else method
    bare = path.strip("/")
    literal = _literals().get((method, bare))
    if literal is not None:
        return Match(literal, {}, path.endswith("/") == literal.path.endswith("/"))
    segments = bare.split("/")
    others: set[str] = set()
    for wanted, operation in _table().get(len(segments), ()):
        found: dict[str, str] = {}
        for want, have in zip(wanted, segments, strict=True):
            if want.startswith("{"):
                found[want[1:-1]] = unquote(have)
            elif want != have:
                break
        else:
            if operation.method == method:
                return Match(operation, found, path.endswith("/") == operation.path.endswith("/"))
            others.add(operation.method)
    if not others:
        return None
    return Match(None, {}, exact=True, allowed=sorted(others | ({_HEAD} if _GET in others else set())))
