"""Money on the command line: to the last digit, and never through a float."""

from decimal import Decimal

from kelviq_async.cli.showing import as_json


def test_amounts_are_shown_digit_by_digit():
    data = {"amount": Decimal("12345678901234567.10"), "units": 3, "name": "Zoë"}
    assert as_json(data, None) == '{"amount": 12345678901234567.10, "units": 3, "name": "Zoë"}'
    assert as_json(data).splitlines()[1] == '  "amount": 12345678901234567.10,'
