"""What the server answers: ten entitlements of a customer, whose numbers follow from the customer's id.

Customers are on one of five plans, as they are in life: what a plan says is the same for all who have
it, while use, what is left and the second at which the meters start anew are each customer's own.
"""

from datetime import UTC, datetime

SWITCHES = ("export-data", "single-sign-on", "audit-log")
VALUES = ("retention-days", "max-projects")
METERS = ("api-calls", "emails", "storage-gb", "ai-tokens", "seats")
FEATURES = (*SWITCHES, *VALUES, *METERS)
PLANS = 5

_YEAR = datetime.now(UTC).year + 1  # nothing starts anew while we measure


def customer(number: int) -> str:
    return f"user-{number:06}"


def customers(count: int, start: int = 0) -> list[str]:
    return [customer(number) for number in range(start, start + count)]


def limit(plan: int, feature_id: str) -> int:
    return 1000 * (plan + 1) + FEATURES.index(feature_id)


def used(number: int, feature_id: str) -> int:
    return (number * 31 + FEATURES.index(feature_id) * 7) % 900


def _template(plan: int) -> dict[str, str]:
    """One row for each feature, with gaps for the customer's own numbers."""
    rows = {
        name: f'{{"featureId":"{name}","featureType":"BOOLEAN","hasAccess":true,"resetAt":null}}'
        for name in SWITCHES
    }
    for name in VALUES:
        rows[name] = (
            f'{{"featureId":"{name}","featureType":"CUSTOMIZABLE","hasAccess":true,"resetAt":null,'
            f'"hardLimit":false,"usageLimit":{limit(plan, name)},"currentUsage":0,"remaining":null}}'
        )
    for name in METERS:
        rows[name] = (
            f'{{"featureId":"{name}","featureType":"METER","hasAccess":true,"resetAt":"%s",'
            f'"hardLimit":true,"usageLimit":{limit(plan, name)},"currentUsage":%d,"remaining":%d}}'
        )
    return rows


_TEMPLATES = [_template(plan) for plan in range(PLANS)]
_WHOLE = [f'{{"customerId":"%s","entitlements":[{",".join(rows.values())}]}}' for rows in _TEMPLATES]


def reset_at(number: int) -> str:
    return (
        f"{_YEAR}-{number % 12 + 1:02}-{number % 28 + 1:02} "
        f"{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}"
    )


def _gaps(number: int, features: tuple[str, ...]) -> list[str | int]:
    plan, reset = number % PLANS, reset_at(number)
    gaps: list[str | int] = []
    for name in features:
        use = used(number, name)
        gaps += (reset, use, limit(plan, name) - use)
    return gaps


def answer(customer_id: str, feature_id: str | None = None) -> bytes:
    """The body of the answer about a customer; about one feature alone if that is what was asked for."""
    number = int(customer_id.rpartition("-")[2])
    if feature_id is None:
        return (_WHOLE[number % PLANS] % (customer_id, *_gaps(number, METERS))).encode()
    row = _TEMPLATES[number % PLANS].get(feature_id, "")
    if feature_id in METERS:
        row %= tuple(_gaps(number, (feature_id,)))
    return f'{{"customerId":"{customer_id}","entitlements":[{row}]}}'.encode()
