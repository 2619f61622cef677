"""Why a webhook was turned away: one class for each reason.

Messages name headers and numbers. They never hold a secret, a signature or anything of the body.
"""

from __future__ import annotations

from ..errors import KelviqError


class BodyNotBytes(KelviqError, TypeError):
    """The body was handed over as something else than bytes: a mistake in your own code.

    Kelviq signs bytes. A body that was parsed and written again, or decoded and encoded, need not
    be the same bytes any more, so take the raw one: ``await request.body()``, ``request.body``,
    ``await request.read()``, whatever your framework calls it.
    """


class WebhookRejected(KelviqError):
    """A delivery that must not be acted on. Answer it with 400 and do nothing else."""


class MissingHeader(WebhookRejected):
    """A header that every delivery has is absent or empty.

    Attributes:
        header: Its name.
    """

    def __init__(self, header: str) -> None:
        super().__init__(f"there is no {header} header")
        self.header = header


class MalformedHeader(WebhookRejected):
    """A header does not look the way Kelviq writes it.

    Attributes:
        header: Its name.
    """

    def __init__(self, header: str, problem: str) -> None:
        super().__init__(f"the {header} header {problem}")
        self.header = header


class BodyTooLarge(WebhookRejected):
    """The body is larger than you allow; it was not looked at.

    Attributes:
        size: Its size, in bytes.
        max_bytes: What you allow, in bytes.
    """

    def __init__(self, size: int, max_bytes: int) -> None:
        super().__init__(f"the body has {size} bytes, and {max_bytes} are allowed")
        self.size = size
        self.max_bytes = max_bytes


class BadSignature(WebhookRejected):
    """No signature fits: forged, changed on the way, or signed with a secret you did not give."""


class TimestampTooOld(WebhookRejected):
    """The signature is right, but it was made too long ago: a late resend, or somebody replays it.

    Attributes:
        age: Seconds since it was signed.
        tolerance: Seconds you allow.
    """

    def __init__(self, age: float, tolerance: float) -> None:
        super().__init__(f"signed {age:.0f} s ago, and {tolerance:g} s are tolerated")
        self.age = age
        self.tolerance = tolerance


class TimestampInFuture(WebhookRejected):
    """The signature is right, but its time is yet to come: one of the two clocks is wrong.

    Attributes:
        ahead: Seconds until that time.
        tolerance: Seconds you allow.
    """

    def __init__(self, ahead: float, tolerance: float) -> None:
        super().__init__(f"signed {ahead:.0f} s in the future, and {tolerance:g} s are tolerated")
        self.ahead = ahead
        self.tolerance = tolerance


class UnreadableBody(WebhookRejected):
    """The signature is right, but the body is no event: not a JSON object, or one that lacks its parts."""
