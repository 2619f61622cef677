"""Exceptions: what they are made of, what they say, and what they keep to themselves."""

import copy
import pickle

import pytest

from kelviq_async import CreateCustomer, codec, errors, operations
from kelviq_async.errors import BY_STATUS, ApiError, FailureClass, FieldMessages, KelviqError, api_error

EVERY = sorted(
    (each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, KelviqError)),
    key=lambda cls: cls.__name__,
)
PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


class TestEvery:
    @pytest.mark.parametrize("cls", EVERY, ids=lambda cls: cls.__name__)
    def test_says_operation_status_and_message(self, cls):
        error = cls("it broke", operation="CreateCustomer", status=418)
        assert str(error) == "CreateCustomer: 418 it broke"
        assert error.args == ("it broke",)
        assert str(cls("it broke", status=None)).endswith("it broke")
        assert isinstance(error, KelviqError)
        assert cls.__doc__

    @pytest.mark.parametrize("protocol", PROTOCOLS)
    @pytest.mark.parametrize("cls", EVERY, ids=lambda cls: cls.__name__)
    def test_survives_a_trip_between_processes_without_the_request(self, cls, protocol):
        request = CreateCustomer("a", email="ada@example.com")
        error = cls(
            "it broke",
            operation="CreateCustomer",
            request=request,
            status=409,
            code="taken",
            fields={"customer_id": ["is taken"]},
            retry_after=1.5,
        )
        error.add_note("a note")
        pickled = pickle.dumps(error, protocol)
        assert b"ada@example.com" not in pickled
        for back in (pickle.loads(pickled), copy.copy(error), copy.deepcopy(error)):  # noqa: S301  our own
            assert type(back) is cls
            assert str(back) == str(error)
            assert back.args == error.args
            assert (back.message, back.operation, back.status) == ("it broke", "CreateCustomer", 409)
            assert (back.code, back.retry_after, back.request) == ("taken", 1.5, None)
            assert back.fields == {"customer_id": ["is taken"]}
            assert back.fields["customerId"] == ["is taken"]
            assert back.failure is error.failure
            assert back.__notes__ == ["a note"]

    def test_the_request_is_named_once_and_hides_its_secrets(self):
        error = KelviqError("it broke")
        assert (error.operation, error.request) == (None, None)
        error.about("CreateCustomer", CreateCustomer("a", email="ada@example.com"))
        error.about("Another", None)
        assert error.operation == "CreateCustomer"
        for text in (str(error), repr(error), repr(error.request)):
            assert "ada@example.com" not in text

    @pytest.mark.parametrize(
        ("cls", "builtin"),
        [
            (errors.ConfigError, ValueError),
            (errors.InvalidRequest, ValueError),
            (errors.CodecError, ValueError),
            (errors.WrongLoop, RuntimeError),
            (errors.ClientClosed, RuntimeError),
            (errors.NeverSent, ConnectionError),
            (errors.ConnectionLost, ConnectionError),
            (errors.TimedOut, TimeoutError),
            (errors.UnknownCustomer, errors.NotFound),
            (errors.BadCertificate, errors.NeverSent),
        ],
    )
    def test_code_that_knows_python_only_catches_it_too(self, cls, builtin):
        assert issubclass(cls, builtin)


class TestFields:
    def test_both_spellings_find_a_complaint(self):
        fields = FieldMessages({"customer_id": ["is taken"], "name": ["too long"]})
        for name in ("customer_id", "customerId"):
            assert name in fields
            assert fields[name] == fields.get(name) == ["is taken"]
        assert "email" not in fields
        assert "customerID" not in fields
        assert 5 not in fields
        assert fields.get("email") is None
        assert fields.get("email", []) == []
        with pytest.raises(KeyError, match="e_mail"):
            fields["eMail"]
        assert dict(fields) == {"customer_id": ["is taken"], "name": ["too long"]}

    def test_every_argument_is_found_by_its_wire_name(self):
        for operation in operations():
            for each in operation.fields:
                assert FieldMessages({each.name: ["wrong"]})[each.wire] == ["wrong"]

    def test_copies_know_both_too(self):
        fields = FieldMessages({"customer_id": ["is taken"]})
        for back in (copy.deepcopy(fields), pickle.loads(pickle.dumps(fields))):  # noqa: S301  our own
            assert back["customerId"] == ["is taken"]


class TestStatuses:
    TABLE = (
        (400, "BadRequest"),
        (401, "Unauthorized"),
        (403, "Forbidden"),
        (404, "NotFound"),
        (405, "MethodNotAllowed"),
        (409, "Conflict"),
        (422, "Unprocessable"),
        (428, "PreconditionRequired"),
        (429, "RateLimited"),
        (500, "ServerError"),
        (502, "BadGateway"),
        (503, "ServiceUnavailable"),
        (504, "GatewayTimeout"),
    )

    def test_each_documented_status_has_its_class(self):
        assert {status: cls.__name__ for status, cls in BY_STATUS.items()} == dict(self.TABLE)

    @pytest.mark.parametrize(("status", "name"), TABLE)
    def test_an_answer_becomes_it(self, status, name):
        error = api_error(status, {"detail": "no"})
        assert type(error) is getattr(errors, name)
        assert error.status == status
        assert isinstance(error, ApiError)

    @pytest.mark.parametrize(("status", "cls"), [(418, ApiError), (302, ApiError), (501, errors.ServerError)])
    def test_other_statuses_have_the_general_one(self, status, cls):
        error = api_error(status, None)
        assert type(error) is cls
        assert error.status == status

    @pytest.mark.parametrize("status", [500, 502, 503, 504, 507])
    def test_server_errors_are_one_kind(self, status):
        assert isinstance(api_error(status, None), errors.ServerError)


class TestFailureClasses:
    @pytest.mark.parametrize(
        ("error", "failure"),
        [
            *((api_error(status, None), None) for status in (302, 400, 401, 403, 404, 405, 409, 422, 428)),
            *((api_error(status, None), FailureClass.AMBIGUOUS) for status in (500, 501, 502, 503, 504)),
            (api_error(429, None), FailureClass.REFUSED),
            (api_error(429, None, retry_after=1), FailureClass.REFUSED),
            (api_error(503, None, retry_after=0), FailureClass.REFUSED),
            (api_error(500, None, retry_after=1), FailureClass.AMBIGUOUS),
            (errors.NeverSent("x"), FailureClass.NEVER_SENT),
            (errors.BadCertificate("x"), FailureClass.NEVER_SENT),
            (errors.ConnectionLost("x"), FailureClass.AMBIGUOUS),
            (errors.TimedOut("x"), FailureClass.AMBIGUOUS),
            (errors.UnreadableAnswer("x"), FailureClass.AMBIGUOUS),
            (errors.OutcomeUnknown("x"), FailureClass.AMBIGUOUS),
            (errors.InvalidRequest("x"), None),
            (errors.ConfigError("x"), None),
            (errors.WrongLoop("x"), None),
            (errors.ClientClosed("x"), None),
        ],
        ids=lambda value: f"{type(value).__name__}-{getattr(value, 'status', '')}",
    )
    def test_what_a_failure_says_about_the_work(self, error, failure):
        assert error.failure is failure

    def test_only_a_bad_certificate_is_hopeless(self):
        assert errors.BadCertificate("x").hopeless
        assert not errors.NeverSent("x").hopeless

    def test_a_time_limit_may_have_struck_before_sending(self):
        error = errors.TimedOut("x")
        error.failure = FailureClass.NEVER_SENT
        assert pickle.loads(pickle.dumps(error)).failure is FailureClass.NEVER_SENT  # noqa: S301  our own


class TestBodies:
    @pytest.mark.parametrize(
        ("body", "message", "code", "fields"),
        [
            ({"detail": "Not found."}, "Not found.", None, {}),
            ({"error": "Activation limit reached"}, "Activation limit reached", None, {}),
            ({"status": "Not found", "message": "No such product"}, "No such product", "Not found", {}),
            (
                {"customerId": ["Invalid customer id"]},
                "customer_id: Invalid customer id",
                None,
                {"customer_id": ["Invalid customer id"]},
            ),
            (None, "Kelviq gave no reason", None, {}),
            ({}, "Kelviq gave no reason", None, {}),
            # And what a server may come up with beside these five.
            ({"message": "Done"}, "Done", None, {}),
            ({"detail": "no", "code": "token_not_valid"}, "no", "token_not_valid", {}),
            ({"detail": "no", "code": 7}, "no", "7", {}),
            ({"detail": "no", "code": True}, "no", None, {}),
            ({"detail": "Invalid", "customerId": ["taken"]}, "Invalid", None, {"customer_id": ["taken"]}),
            ({"detail": "no", "status": "error"}, "no", None, {}),
            ({"name": "too long"}, "name: too long", None, {"name": ["too long"]}),
            (
                {"a": ["one", "two"], "planIdentifier": ["three"]},
                "a: one two; plan_identifier: three",
                None,
                {"a": ["one", "two"], "plan_identifier": ["three"]},
            ),
            (
                {"billingAddress": {"country": ["unknown"]}},
                "billing_address: country: unknown",
                None,
                {"billing_address": ["country: unknown"]},
            ),
            (
                {"features": [{}, {"quantity": ["too many", 5]}]},
                "features: quantity: too many quantity: 5",
                None,
                {"features": ["quantity: too many", "quantity: 5"]},
            ),
            (["one", "two"], "one two", None, {}),
            ("plain text", "plain text", None, {}),
            (5, "Kelviq gave no reason", None, {}),
            ({"detail": None, "count": 5}, "Kelviq gave no reason", None, {}),
            ({"detail": ["a list"]}, "detail: a list", None, {"detail": ["a list"]}),
        ],
        ids=str,
    )
    def test_the_reason_is_found(self, body, message, code, fields):
        error = api_error(400, body, retry_after=2.5)
        assert (error.message, error.code, error.fields) == (message, code, fields)
        assert error.retry_after == 2.5
        assert str(error) == f"400 {message}"

    def test_depth_is_no_matter(self):
        body = []
        for _ in range(50_000):
            body = [body]
        assert api_error(400, body).message == "Kelviq gave no reason"
        assert api_error(400, {"name": body}).fields == {"name": []}

    def test_a_codec_error_is_about_shapes(self):
        with pytest.raises(errors.CodecError) as caught:
            codec.decode(b"<html>kq_secret</html>")
        assert "kq_secret" not in str(caught.value)
