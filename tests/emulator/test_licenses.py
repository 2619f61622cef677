"""Licence keys: issued, activated, asked about, and worth what was paid for."""

from datetime import UTC, datetime

import pytest

from kelviq_async import CancellationType, ChargePeriod, codec
from kelviq_async.api.licenses import ActivateLicense, ValidateLicense
from kelviq_async.errors import ApiError, NotFound


@pytest.fixture
async def key(shop):
    row = await shop.buy("licensed")
    return row.license_ids[0]


async def test_a_plan_with_licences_issues_a_key(shop, key):
    (subscription,) = await shop.current()
    (license_,) = subscription.license
    assert license_.license_key == key
    assert (license_.activation_usage, license_.activation_limit, license_.enabled) == (0, 2, True)
    assert license_.expires_on == datetime(2026, 2, 28, tzinfo=UTC)
    (order,) = (await shop.kelviq.orders.list()).results
    assert [each.license_key for each in order.license] == [key]


async def test_other_plans_issue_none(shop):
    await shop.buy("pro")
    assert (await shop.current())[0].license == []


async def test_seats_are_taken_and_freed(shop, key):
    first = await shop.kelviq.licenses.activate(
        key, customer_id="user-123", instance_name="laptop", metadata={"os Name": "x"}
    )
    assert first.activated_at == datetime(2026, 1, 31, tzinfo=UTC)
    assert first.license.activation_usage == 1
    assert first.license.customer.customer_id == "user-123"
    assert first.license.plan.product.identifier == "extra"
    assert first.license.subscription.recurrence == "1 month"
    await shop.kelviq.licenses.activate(key)
    with pytest.raises(ApiError, match=r"Activation limit reached \(2/2\)") as caught:
        await shop.kelviq.licenses.activate(key)
    assert caught.value.status == 403
    answer = await shop.kelviq.licenses.deactivate(key, first.instance_id)
    assert answer.message == "License instance deactivated successfully."
    await shop.kelviq.licenses.activate(key)
    with pytest.raises(NotFound):
        await shop.kelviq.licenses.deactivate(key, first.instance_id)


async def test_statuses_of_the_three(shop, key):
    answer = await shop.kelviq.send_raw(ActivateLicense(key))
    assert answer.status == 201
    instance = codec.decode(answer.body)["instanceId"]
    answer = await shop.kelviq.send_raw(ValidateLicense(key, instance_id=instance))
    assert answer.status == 200


async def test_a_key_that_is_not_theirs(shop, key):
    for arguments in (("LIC-NOPE", {}), (key, {"customer_id": "grace"})):
        with pytest.raises(NotFound, match="Invalid license key or customer ID"):
            await shop.kelviq.licenses.activate(arguments[0], **arguments[1])


async def test_validation(shop, key):
    seat = (await shop.kelviq.licenses.activate(key, metadata={"os": "x"})).instance_id
    known = await shop.kelviq.licenses.validate(key, instance_id=seat)
    assert (known.valid, known.code, known.metadata) == (True, "VALID", {"os": "x"})
    assert known.license.license_key == key
    alone = await shop.kelviq.licenses.validate(key)
    assert (alone.valid, alone.code) == (True, "VALID")


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        ({}, "INVALID_KEY", "License key not found."),
        ({"instance_id": "nope"}, "INSTANCE_NOT_FOUND", "Instance ID invalid for this license."),
    ],
)
async def test_an_unknown_key_or_seat_is_an_answer(shop, key, given, code, said):
    request = ValidateLicense(key if given else "LIC-NOPE", **given)
    answer = await shop.kelviq.send_raw(request)
    assert answer.status == 404
    assert codec.decode(answer.body) == {"valid": False, "code": code, "detail": said, "metadata": {}}
    assert answer.value.valid is False


async def test_a_key_expires_unless_it_is_paid_for(shop, key):
    row = shop.world.state.licenses[key]
    shop.world.clock.advance(days=28)
    assert row.expires_on == datetime(2026, 3, 28, tzinfo=UTC)
    assert (await shop.kelviq.licenses.validate(key)).valid
    shop.card().declines = True
    shop.world.clock.move_to(datetime(2026, 3, 31, tzinfo=UTC))
    verdict = await shop.kelviq.licenses.validate(key)
    assert (verdict.valid, verdict.code) == (False, "EXPIRED")
    with pytest.raises(ApiError, match="expired") as caught:
        await shop.kelviq.licenses.activate(key)
    assert caught.value.status == 403


async def test_a_key_ends_with_its_subscription(shop, key):
    (subscription,) = await shop.current()
    await shop.kelviq.subscriptions.cancel(subscription.id, CancellationType.IMMEDIATE)
    assert (await shop.kelviq.licenses.validate(key)).valid is False
    with pytest.raises(ApiError, match="disabled") as caught:
        await shop.kelviq.licenses.activate(key)
    assert caught.value.status == 403


async def test_a_key_stays_over_an_update(shop, key):
    (subscription,) = await shop.current()
    await shop.kelviq.subscriptions.update(subscription.id, "pro", ChargePeriod.MONTHLY)
    (subscription,) = await shop.current()
    assert [each.license_key for each in subscription.license] == [key]
    found = await shop.kelviq.licenses.validate(key)
    assert found.license.subscription.id == subscription.id


async def test_an_update_issues_a_key_where_only_the_new_plan_has_them(shop):
    row = await shop.buy("pro")
    await shop.kelviq.subscriptions.update(row.id, "licensed", ChargePeriod.MONTHLY)
    (subscription,) = await shop.current()
    assert len(subscription.license) == 1


@pytest.mark.parametrize(
    "end",
    [
        {"hasExpiry": False},
        {"hasExpiry": True, "durationUnit": "YEAR", "durationValue": 2**31 - 1},  # no calendar goes that far
        {"hasExpiry": True, "durationUnit": "DAY", "durationValue": 2**31 - 1},
    ],
)
async def test_a_key_without_limit_or_end(shop, end):
    shop.world.seed_from(
        {
            "plans": [
                {
                    "identifier": "open",
                    "product": "extra",
                    "prices": {"ONE_TIME": "5.00"},
                    "license": {"enabled": True, "activationLimitEnabled": False, **end},
                }
            ]
        }
    )
    row = await shop.buy("open", ChargePeriod.ONE_TIME)
    key = row.license_ids[0]
    for _ in range(5):
        found = await shop.kelviq.licenses.activate(key)
    assert found.expires_on is None
    assert found.license.activation_limit is None
    assert found.license.activation_usage == 5
