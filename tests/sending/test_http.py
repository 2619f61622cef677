"""One attempt: the address, the one credential, the bytes, and what is made of the answer."""

import asyncio
import json
import logging
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime

import pytest
from hypothesis import given, strategies as st

from kelviq_async import (
    ActivateLicense,
    CancelSubscription,
    CreateCustomer,
    CreateRefund,
    GetEntitlements,
    GetPromotion,
    ListCustomers,
    ListOrganizations,
    ListSubscriptions,
    LocatePlanFile,
    ReportUsage,
    RetrieveCustomer,
    UpdateCustomer,
    ValidateLicense,
    operations,
)
from kelviq_async.config import Host, Key
from kelviq_async.errors import (
    BY_STATUS,
    ApiError,
    ConfigError,
    ConnectionLost,
    FailureClass,
    InvalidRequest,
    KelviqError,
    NeverSent,
    NotFound,
    ServerError,
    TimedOut,
    UnreadableAnswer,
)
from kelviq_async.sending.http import _retry_after, with_headers

CORE = "https://sandboxapi.kelviq.com/api/v1"
EDGE = "https://edge.sandboxapi.kelviq.com/api/v1"
PAGE = {"count": 0, "next": None, "previous": None, "results": []}
ENTITLEMENTS = {"customerId": "user-1", "entitlements": []}
CREDENTIALS = {"Authorization", "X-Kelviq-Partner-Key"}


def credentials(request):
    return {name: value for name, value in request.headers.items() if name in CREDENTIALS}


# Where to, and with which key


@pytest.mark.parametrize(
    ("request_", "answer", "url", "credential"),
    [
        (ListCustomers(), PAGE, f"{CORE}/customers/", {"Authorization": "Bearer sk_secret"}),
        (
            GetEntitlements("user-1"),
            ENTITLEMENTS,
            f"{EDGE}/entitlements/?customer_id=user-1",
            {"Authorization": "Bearer ck_secret"},
        ),
        (
            GetPromotion("promo-1"),
            {"results": []},
            f"{EDGE}/promotions?promotion_id=promo-1",
            {"Authorization": "Bearer ck_secret"},
        ),
        (
            ListOrganizations(),
            {"results": [], "count": 0},
            f"{CORE}/partner/organizations/",
            {"X-Kelviq-Partner-Key": "pk_secret"},
        ),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "operation") else "",
)
async def test_the_host_and_the_one_credential(stack, request_, answer, url, credential):
    given_stack = stack((200, answer))
    await given_stack.once(request_)
    (sent,) = given_stack.transport.sent
    assert sent.url == url
    assert credentials(sent) == credential


async def test_entitlements_fall_back_to_the_server_key(stack):
    only_server = stack((200, ENTITLEMENTS), server_key="sk_secret")
    await only_server.once(GetEntitlements("user-1"))
    assert only_server.transport.sent[0].url.startswith(EDGE)
    assert credentials(only_server.transport.sent[0]) == {"Authorization": "Bearer sk_secret"}


async def test_a_plan_file_takes_no_key(stack):
    keyless = stack((302, b"", {"Location": "https://files.example/x"}))
    assert (await keyless.once(LocatePlanFile("pro", "f"))).url == "https://files.example/x"
    assert credentials(keyless.transport.sent[0]) == {}


@pytest.mark.parametrize(
    ("request_", "settings", "needed"),
    [
        (GetPromotion("promo-1"), {"server_key": "sk", "partner_key": "pk"}, "client_key"),
        (ListCustomers(), {"client_key": "ck", "partner_key": "pk"}, "server_key"),
        (ListOrganizations(), {"server_key": "sk", "client_key": "ck"}, "partner_key"),
        (GetEntitlements("user-1"), {"partner_key": "pk"}, "client_key or server_key"),
    ],
)
async def test_without_its_key_nothing_is_sent(stack, request_, settings, needed):
    keyless = stack(200, **settings)
    with pytest.raises(ConfigError, match=f"needs a {needed}$") as caught:
        await keyless.send(request_)
    assert keyless.transport.sent == []
    assert caught.value.operation == request_.operation.name


def test_every_operation_is_answered_for_by_one_key_on_its_own_host():
    for operation in operations():
        assert (operation.host is Host.EDGE) == (operation.area in {"entitlements", "promotions"})
        if operation.area == "partner":
            assert operation.keys == (Key.PARTNER,)
        elif operation.area == "promotions":
            assert operation.keys == (Key.CLIENT,)


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_key_may_come_from_a_function(stack, is_async):
    keys = iter(["first", "second"])

    def plain():
        return next(keys)

    async def slow():
        await asyncio.sleep(0)
        return next(keys)

    rotating = stack((200, PAGE), server_key=slow if is_async else plain)
    await rotating.once(ListCustomers())
    await rotating.once(ListCustomers())
    assert [sent.headers["Authorization"] for sent in rotating.transport.sent] == [
        "Bearer first",
        "Bearer second",
    ]


@pytest.mark.parametrize("key", ["", "two words", "Bearer sk", "a\nb", None, 7])
async def test_a_function_that_gives_no_key(stack, key):
    keyless = stack(200, server_key=lambda: key)
    with pytest.raises(ConfigError) as caught:
        await keyless.send(ListCustomers())
    assert keyless.transport.sent == []
    assert not isinstance(key, str) or len(key) < 3 or key not in str(caught.value)


@pytest.mark.parametrize("error", [OSError("vault"), TimeoutError("vault"), KeyError("vault")])
async def test_a_function_that_fails(stack, error):
    def broken():
        raise error

    keyless = stack(200, server_key=broken)
    with pytest.raises(ConfigError, match="server_key") as caught:
        await keyless.send(ListCustomers())
    assert caught.value.__cause__ is error
    assert keyless.transport.sent == []


# What is sent


async def test_the_spelling_of_a_query(stack):
    listing = stack((200, PAGE))
    await listing.once(ListSubscriptions(customer_id="a b&c=ä/+", status="active", page=2, page_size=50))
    assert listing.transport.sent[0].url == (
        f"{CORE}/subscriptions/?customer_id=a%20b%26c%3D%C3%A4%2F%2B&status=active&page=2&page_size=50"
    )
    assert listing.transport.sent[0].body is None
    assert "Content-Type" not in listing.transport.sent[0].headers


async def test_the_spelling_of_a_body(stack):
    creating = stack((201, {"id": "1"}))
    metadata = {"snake_case": 1, "camelCase": {"x_y": None}}
    await creating.once(CreateCustomer("user-1", name="Ada", metadata=metadata))
    (sent,) = creating.transport.sent
    assert json.loads(sent.body) == {"customerId": "user-1", "name": "Ada", "metadata": metadata}
    assert sent.headers["Content-Type"] == "application/json"


async def test_left_alone_is_not_set_to_null(stack):
    updating = stack((200, {}))
    await updating.once(UpdateCustomer("user-1", name=None))
    assert json.loads(updating.transport.sent[0].body) == {"name": None}


async def test_an_amount_goes_digit_by_digit(stack):
    refunding = stack((200, {}))
    await refunding.once(CreateRefund("order-1", amount=Decimal("12345678901234567.89")))
    assert b"12345678901234567.89" in refunding.transport.sent[0].body


async def test_what_json_cannot_say_is_refused_before_anything_is_sent(stack):
    creating = stack(200)
    with pytest.raises(InvalidRequest) as caught:
        await creating.send(CreateCustomer("user-1", metadata={"x": object()}))
    assert creating.transport.sent == []
    assert caught.value.operation == "CreateCustomer"


async def test_headers_of_a_call_replace_the_usual_ones_in_any_case(stack):
    listing = stack((200, PAGE))
    await listing.once(ListCustomers(), headers={"user-agent": "mine", "X-More": "1"})
    headers = listing.transport.sent[0].headers
    assert [value for name, value in headers.items() if name.lower() == "user-agent"] == ["mine"]
    assert headers["X-More"] == "1"
    assert headers["Authorization"] == "Bearer sk_secret"
    assert with_headers({"A": "1", "b": "2"}, {"a": "3"}) == {"b": "2", "a": "3"}


# What comes back


@pytest.mark.parametrize("status", [200, 201, 202, 299])
async def test_any_2xx_is_an_answer(stack, status):
    assert (await stack((status, {"id": "1"})).once(CreateCustomer("user-1"))).id == "1"


@pytest.mark.parametrize("status", [*BY_STATUS, 301, 302, 402, 418, 501, 599])
async def test_any_other_status_is_its_error(stack, status):
    with pytest.raises(ApiError) as caught:
        await stack((status, {"detail": "why"})).once(ListCustomers())
    error = caught.value
    expected = BY_STATUS.get(status, ServerError if status >= 500 else ApiError)
    assert type(error) is expected
    assert (error.status, error.message, error.operation) == (status, "why", "ListCustomers")


@pytest.mark.parametrize("body", [b"<html>", b"", b"[]", b"null", b'"text"', b"{", b"\xff", b"[" * 10_000])
async def test_a_2xx_that_cannot_be_read(stack, body):
    with pytest.raises(UnreadableAnswer) as caught:
        await stack((200, body)).once(ListCustomers())
    assert caught.value.status == 200
    assert caught.value.failure is FailureClass.AMBIGUOUS


@pytest.mark.parametrize("body", [b"<html>", b"", b"[]", b'{"detail": "Not found."}', b'{"valid": "no"}'])
async def test_a_404_without_a_verdict_is_no_licence(stack, body):
    with pytest.raises(NotFound):
        await stack((404, body)).once(ValidateLicense("key"))


async def test_a_404_with_a_verdict_is_a_licence(stack):
    answer = await stack((404, {"valid": False, "code": "INVALID_KEY"})).once(ValidateLicense("key"))
    assert answer.valid is False


@pytest.mark.parametrize("status", [200, 302])
async def test_an_answer_that_locates_no_file(stack, status):
    with pytest.raises(UnreadableAnswer):
        await stack((status, b"")).once(LocatePlanFile("pro", "f"))


@pytest.mark.parametrize("name", ["Retry-After", "retry-after", "RETRY-AFTER"])
async def test_retry_after_is_found_in_any_case(stack, name):
    with pytest.raises(ApiError) as caught:
        await stack((429, b"", {name: "7"})).once(ListCustomers())
    assert caught.value.retry_after == 7


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("7", 7), ("1.5", 1.5), ("-3", 0), ("nan", None), ("inf", None), ("", None), ("soon", None)],
)
def test_retry_after_as_a_number(text, seconds):
    assert _retry_after({"Retry-After": text}) == seconds
    assert _retry_after({}) is None
    # the same line twice comes as one
    assert _retry_after({"Retry-After": f"{text}, 7"}) == seconds


def test_retry_after_as_a_date():
    later = datetime.now(UTC) + timedelta(seconds=100)
    assert 98 < _retry_after({"Retry-After": format_datetime(later, usegmt=True)}) <= 100
    assert _retry_after({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert _retry_after({"Retry-After": "Wed, 21 Oct 2015 07:28:00"}) == 0


@given(st.text())
def test_retry_after_may_be_anything(text):
    seconds = _retry_after({"Retry-After": text})
    assert seconds is None or 0 <= seconds < float("inf")


# Time


def late(stack_, sending):
    async def hang(wire):
        wire.sending = sending
        await asyncio.Event().wait()

    stack_.transport.script = [hang]
    return stack_


@pytest.mark.parametrize(
    ("sending", "expected"), [(False, FailureClass.NEVER_SENT), (True, FailureClass.AMBIGUOUS)]
)
def test_what_a_timeout_means_depends_on_what_has_left(stack, virtual, sending, expected):
    async def story():
        loop = asyncio.get_running_loop()
        with pytest.raises(TimedOut) as caught:
            await late(stack(), sending).once(CreateCustomer("user-1"), deadline=loop.time() + 5)
        assert loop.time() == 1005
        assert caught.value.failure is expected

    virtual(story())


def test_a_transport_that_says_nothing_of_sending_may_have_sent(stack, virtual):
    async def story():
        hanging = stack(lambda wire: asyncio.Event().wait())
        with pytest.raises(TimedOut) as caught:
            await hanging.once(ListCustomers(), deadline=asyncio.get_running_loop().time() + 5)
        assert caught.value.failure is FailureClass.AMBIGUOUS

    virtual(story())


def test_a_slow_key_takes_time_too(stack, virtual):
    async def slow_key():
        await asyncio.sleep(100)

    async def story():
        waiting = stack(200, server_key=slow_key)
        with pytest.raises(TimedOut) as caught:
            await waiting.once(ListCustomers(), deadline=asyncio.get_running_loop().time() + 5)
        assert caught.value.failure is FailureClass.NEVER_SENT
        assert waiting.transport.sent == []

    virtual(story())


# Who watches


async def test_the_observer_is_told_of_each_attempt(stack):
    attempts = []
    watched = stack(ConnectionLost("gone"), (500, b""), (200, PAGE))
    await watched.send(ListCustomers(), observer=attempts.append, retry=lambda *_: 0)
    assert [(each.operation, each.number, each.status, each.error) for each in attempts] == [
        ("ListCustomers", 1, None, "ConnectionLost"),
        ("ListCustomers", 2, 500, "ServerError"),
        ("ListCustomers", 3, 200, None),
    ]
    assert all(each.seconds >= 0 for each in attempts)


async def test_an_attempt_that_was_cancelled_did_not_go_well(stack):
    attempts = []
    hanging = stack(lambda wire: asyncio.Event().wait())
    task = asyncio.create_task(hanging.send(ListCustomers(), observer=attempts.append))
    while not hanging.transport.sent:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [(each.status, each.error) for each in attempts] == [(None, "CancelledError")]


async def test_an_observer_that_fails_changes_nothing(stack, caplog):
    def observer(attempt):
        raise RuntimeError("observer")

    assert (await stack((200, PAGE)).once(ListCustomers(), observer=observer)).count == 0
    assert "the observer failed" in caplog.text


SECRETIVE = [
    CreateCustomer("id-7f3a", name="name-7f3a", email="mail-7f3a@example.com", metadata={"k-7f3a": "v-7f3a"}),
    RetrieveCustomer("id-7f3a"),
    GetEntitlements("id-7f3a", feature_id="feature-7f3a"),
    CancelSubscription("id-7f3a", "IMMEDIATE"),
    ReportUsage(7, "id-7f3a", "feature-7f3a", "DELTA"),
    ActivateLicense("licence-7f3a", customer_id="id-7f3a"),
]
TROUBLE = [
    NeverSent("refused"),
    ConnectionLost("gone"),
    (500, b"7f3a"),
    (200, b"7f3a"),
    (200, {"7f3a": "7f3a"}),
    (429, b"", {"Retry-After": "0"}),
    (404, b"7f3a"),
]


@pytest.mark.parametrize("trouble", TROUBLE, ids=str)
@pytest.mark.parametrize("request_", SECRETIVE, ids=lambda request: request.operation.name)
async def test_no_log_and_no_error_shows_ids_bodies_or_keys(stack, caplog, request_, trouble):
    troubled = stack(trouble)
    shown = []
    with caplog.at_level(logging.DEBUG):
        try:
            await troubled.send(request_, retry=lambda request, attempt, failure: 0 if attempt < 3 else None)
        except KelviqError as error:
            shown = [str(error), repr(error)]
    assert f"{request_.operation.method} {request_.operation.path}" in caplog.text
    for text in [*shown, caplog.text]:
        assert "7f3a" not in text
        assert "secret" not in text
