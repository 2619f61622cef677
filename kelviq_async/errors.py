"""Every exception a caller can meet, and which HTTP status becomes which class."""

from __future__ import annotations

import builtins
import re
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final


class FailureClass(Enum):
    """What a failed attempt says about the work it asked for."""

    NEVER_SENT = "never sent"
    """No byte of the request left this machine."""
    REFUSED = "refused"
    """Kelviq said "not now" before doing anything."""
    AMBIGUOUS = "ambiguous"
    """The work may or may not have been done."""


def _snake(name: str) -> str:
    """``customerId`` as Python spells it: ``customer_id``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


class FieldMessages(dict[str, list[str]]):
    """Kelviq's complaints by argument name; the wire's own spelling finds them too."""

    def __contains__(self, name: object) -> bool:
        """Whether there is a complaint about this field, in either spelling."""
        return isinstance(name, str) and any(dict.__contains__(self, each) for each in (name, _snake(name)))

    def __missing__(self, name: str) -> list[str]:
        """The complaint under the other spelling."""
        snake = _snake(name)
        if snake == name:
            raise KeyError(name)
        return self[snake]

    def get(self, name: str, default: Any = None) -> Any:
        """The complaints about a field, in either spelling."""
        return self[name] if name in self else default  # noqa: SIM401  that would be this very method


class KelviqError(Exception):
    """Base of everything this library raises on purpose.

    Attributes:
        message: What went wrong, in a sentence.
        operation: Name of the operation, such as ``"CreateCustomer"``, or None outside a call.
        request: The request value whose call failed; its repr hides secrets.
        status: HTTP status of the answer, or None where there was none.
        code: Kelviq's own code for the problem, where it sent one.
        fields: Messages by argument name, where Kelviq named fields.
        retry_after: Seconds Kelviq asked to wait, or None.
        failure: What the failure says about the work, or None where nothing was attempted.
    """

    failure: FailureClass | None = None
    status: int | None = None

    def __init__(
        self,
        message: str,
        *,
        operation: str | None = None,
        request: object = None,
        status: int | None = None,
        code: str | None = None,
        fields: Mapping[str, list[str]] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.operation = operation
        self.request = request
        if status is not None:
            self.status = status
        self.code = code
        self.fields = FieldMessages(fields or {})
        self.retry_after = retry_after

    def about(self, operation: str, request: object) -> None:
        """Name the call this error belongs to, unless it is named already."""
        if self.operation is None:
            self.operation, self.request = operation, request

    def __str__(self) -> str:
        """The operation, the status and the message."""
        where = f"{self.operation}: " if self.operation else ""
        status = f"{self.status} " if self.status is not None else ""
        return f"{where}{status}{self.message}"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without the request, which may hold secrets."""
        return _rebuilt, (type(self), {**self.__dict__, "request": None})


def _rebuilt(cls: type[KelviqError], state: dict[str, Any]) -> KelviqError:
    error = cls.__new__(cls)
    Exception.__init__(error, state["message"])
    error.__dict__.update(state)
    return error


class ConfigError(KelviqError, ValueError):
    """The client is set up in a way that cannot work; nothing was sent."""


class InvalidRequest(KelviqError, ValueError):
    """An argument cannot be right; nothing was sent. ``fields`` names it."""


class WrongLoop(KelviqError, RuntimeError):
    """The client lives on another event loop than the one this call runs on."""


class ClientClosed(KelviqError, RuntimeError):
    """The client was closed; open it again or make a new one."""


class CodecError(KelviqError, ValueError):
    """Data does not have the shape that was asked for."""


class NeverSent(KelviqError, ConnectionError):
    """The connection could not be made: name lookup, connect, TLS handshake or a full pool.

    Attributes:
        hopeless: True where trying again cannot help, such as a bad certificate.
    """

    failure = FailureClass.NEVER_SENT
    hopeless = False


class BadCertificate(NeverSent):
    """The other side could not prove who it is. Never retried."""

    hopeless = True


class ConnectionLost(KelviqError, ConnectionError):
    """The connection broke after sending had begun; the work may have been done."""

    failure = FailureClass.AMBIGUOUS


class TimedOut(KelviqError, TimeoutError):
    """Time ran out. ``failure`` tells whether anything had been sent."""

    failure: FailureClass | None = FailureClass.AMBIGUOUS


class UnreadableAnswer(KelviqError):
    """Kelviq answered, but not with what was asked for (broken, too large, of another shape)."""

    failure = FailureClass.AMBIGUOUS


class OutcomeUnknown(KelviqError):
    """A write whose fate is unknown: it may have been done, and is not safe to send again.

    ``__cause__`` is the failure itself. Find out with a read before you repeat the write.
    """

    failure = FailureClass.AMBIGUOUS


class NotEntitled(KelviqError):
    """The customer may not use the feature (raised by ``entitlements.require``)."""


class ApiError(KelviqError):
    """Kelviq answered with an error status."""

    @property
    def _refused(self) -> bool:
        return self.status == 429 or (self.status == 503 and self.retry_after is not None)

    @property
    def failure(self) -> FailureClass | None:  # type: ignore[override]
        """REFUSED and AMBIGUOUS by status; None for a plain no."""
        if self._refused:
            return FailureClass.REFUSED
        return FailureClass.AMBIGUOUS if self.status is not None and self.status >= 500 else None


class BadRequest(ApiError):
    """400: Kelviq did not accept the request; ``fields`` says which part."""

    status = 400


class Unauthorized(ApiError):
    """401: the key is missing, wrong, or of another environment."""

    status = 401


class Forbidden(ApiError):
    """403: the key is known but may not do this."""

    status = 403


class NotFound(ApiError):
    """404: there is no such thing."""

    status = 404


class UnknownCustomer(NotFound):
    """404 about the customer: Kelviq does not know this customer id."""


class MethodNotAllowed(ApiError):
    """405: the address exists, but not for this method."""

    status = 405


class Conflict(ApiError):
    """409: it clashes with what is there, such as a customer id that is taken."""

    status = 409


class Unprocessable(ApiError):
    """422: well-formed, and yet not acceptable."""

    status = 422


class PreconditionRequired(ApiError):
    """428: something else has to be set up first, such as billing before publishing."""

    status = 428


class RateLimited(ApiError):
    """429: too many requests; ``retry_after`` says for how long, where Kelviq told."""

    status = 429


class ServerError(ApiError):
    """500 and above: Kelviq failed."""

    status = 500


class BadGateway(ServerError):
    """502: something between here and Kelviq failed."""

    status = 502


class ServiceUnavailable(ServerError):
    """503: Kelviq is not there at the moment."""

    status = 503


class GatewayTimeout(ServerError):
    """504: something between here and Kelviq gave up waiting."""

    status = 504


BY_STATUS: Final[Mapping[int, type[ApiError]]] = {
    cls.__dict__["status"]: cls
    for cls in (
        BadRequest,
        Unauthorized,
        Forbidden,
        NotFound,
        MethodNotAllowed,
        Conflict,
        Unprocessable,
        PreconditionRequired,
        RateLimited,
        ServerError,
        BadGateway,
        ServiceUnavailable,
        GatewayTimeout,
    )
}


UNEXPLAINED: Final = "Kelviq gave no reason"
"""What stands for the message of an answer that has none, such as a proxy's page."""


def api_error(status: int, body: Any, *, retry_after: float | None = None) -> ApiError:
    """The exception for an error answer.

    Args:
        status: HTTP status.
        body: The decoded JSON body, or None where there was none or it could not be read.
        retry_after: Seconds from a ``Retry-After`` header.

    Returns:
        An instance of the status's class; ``ServerError`` for any other 5xx, else ``ApiError``.
    """
    cls = BY_STATUS.get(status) or (ServerError if status >= 500 else ApiError)
    message, code, fields = _explained(body)
    return cls(message or UNEXPLAINED, status=status, code=code, fields=fields, retry_after=retry_after)


def _explained(body: Any) -> tuple[str, str | None, dict[str, list[str]]]:
    """Message, code and field messages out of the five shapes that error bodies take."""
    if not isinstance(body, dict):
        return " ".join(_messages(body)) if isinstance(body, str | builtins.list) else "", None, {}
    code = str(body["code"]) if type(body.get("code")) in {str, int} else None
    spoken = next((name for name in ("detail", "error", "message") if isinstance(body.get(name), str)), None)
    if spoken == "message" and code is None and isinstance(body.get("status"), str):
        code = body["status"]
    # Beside a sentence, only what looks like messages about a field is taken for some.
    kinds = builtins.list if spoken else str | builtins.list | dict
    fields = {_snake(name): _messages(value) for name, value in body.items() if isinstance(value, kinds)}
    if spoken:
        return body[spoken], code, fields
    return "; ".join(f"{name}: {' '.join(texts)}" for name, texts in fields.items()), code, fields


def _messages(value: Any, deepest: int = 5) -> list[str]:
    if not isinstance(value, dict | builtins.list):
        return [str(value)]
    if not deepest:
        return []
    if isinstance(value, dict):
        return [f"{key}: {text}" for key, inner in value.items() for text in _messages(inner, deepest - 1)]
    return [text for inner in value for text in _messages(inner, deepest - 1)]
