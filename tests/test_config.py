"""Settings: where they come from, what is refused, and what is never shown."""

import copy
import functools
import ssl
import traceback

import attrs
import pytest

from kelviq_async.config import (
    HOSTS,
    VARIABLES,
    Config,
    Host,
    Key,
    Limits,
    Options,
    Secret,
    checked_headers,
    checked_key,
    checked_seconds,
    checked_url,
    is_loopback,
)
from kelviq_async.errors import ConfigError, KelviqError

KEY = "kq_live_s3cret"


def resolve(**settings):
    return Config.resolve(**{"server_key": KEY, **settings})


def refused(call, *args, **kwargs):
    """The message of the ConfigError, which shows no secret in any form."""
    with pytest.raises(ConfigError) as caught:
        call(*args, **kwargs)
    error = caught.value
    shown = "".join(traceback.format_exception(error)) + repr(error) + str(error) + repr(vars(error))
    assert "s3cret" not in shown.replace('"kq_live_s3cret"', "")  # the source lines of this file
    assert isinstance(error, KelviqError)
    assert isinstance(error, ValueError)
    return error.message


class TestWhereFrom:
    def test_defaults(self):
        config = resolve()
        assert config.environment == "sandbox"
        assert config.core_url == "https://sandboxapi.kelviq.com/api/v1"
        assert config.edge_url == "https://edge.sandboxapi.kelviq.com/api/v1"
        assert (config.client_key, config.partner_key, config.proxy, config.ssl) == (None, None, None, None)
        assert config.limits == Limits()
        assert config.user_agent == ""

    def test_variables_go_before_defaults(self, monkeypatch):
        given = {
            "environment": "production",
            "server_key": "from-env-server",
            "client_key": "from-env-client",
            "partner_key": "from-env-partner",
            "core_url": "https://core.example.com",
            "edge_url": "https://edge.example.com/v9/",
        }
        for name, value in given.items():
            monkeypatch.setenv(VARIABLES[name], value)
        config = Config.resolve()
        assert config.environment == "production"
        assert config.server_key == Secret("from-env-server")
        assert config.client_key == Secret("from-env-client")
        assert config.partner_key == Secret("from-env-partner")
        assert config.core_url == "https://core.example.com/api/v1"
        assert config.edge_url == "https://edge.example.com/v9"

    def test_arguments_go_before_variables(self, monkeypatch):
        for variable in VARIABLES.values():
            monkeypatch.setenv(variable, "https://nobody.example.com")
        config = Config.resolve(
            environment="sandbox",
            server_key="a",
            client_key="b",
            partner_key="c",
            core_url="https://core.example.com",
            edge_url="https://edge.example.com",
        )
        assert [config.key(kind).reveal() for kind in Key] == ["a", "b", "c"]
        assert [config.url(host) for host in Host] == [
            "https://core.example.com/api/v1",
            "https://edge.example.com/api/v1",
        ]

    def test_an_empty_variable_is_none(self, monkeypatch):
        for variable in VARIABLES.values():
            monkeypatch.setenv(variable, "")
        assert resolve() == resolve()
        assert resolve().environment == "sandbox"
        assert "a key is needed" in refused(Config.resolve)

    def test_an_empty_argument_is_a_mistake(self, monkeypatch):
        monkeypatch.setenv("KELVIQ_CORE_URL", "https://core.example.com")
        for name in (
            "core_url",
            "edge_url",
            "environment",
            "server_key",
            "client_key",
            "partner_key",
            "account",
        ):
            refused(resolve, **{name: ""})

    def test_variables_are_named_in_the_manual(self):
        assert VARIABLES == {
            "environment": "KELVIQ_ENV",
            "server_key": "KELVIQ_SERVER_API_KEY",
            "client_key": "KELVIQ_CLIENT_API_KEY",
            "partner_key": "KELVIQ_PARTNER_KEY",
            "core_url": "KELVIQ_CORE_URL",
            "edge_url": "KELVIQ_EDGE_URL",
        }


class TestEnvironments:
    def test_production_is_said_out_loud(self):
        config = resolve(environment="production")
        assert config.core_url == "https://api.kelviq.com/api/v1"
        assert config.edge_url == "https://edge.api.kelviq.com/api/v1"

    @pytest.mark.parametrize("name", ["", "prod", "Production", "live", " sandbox", 5, True, [], {}])
    def test_unknown_ones_are_refused(self, name):
        assert "'production' or 'sandbox'" in refused(resolve, environment=name)

    def test_unknown_ones_are_refused_in_variables_too_and_not_shown(self, monkeypatch):
        monkeypatch.setenv("KELVIQ_ENV", KEY)
        assert "KELVIQ_ENV" in refused(resolve)

    @pytest.mark.parametrize("environment", HOSTS)
    @pytest.mark.parametrize("host", Host)
    @pytest.mark.parametrize("form", ["{}", "{}/", "{}:443", "{}."])
    def test_a_host_of_the_other_environment_is_refused(self, environment, host, form):
        (other,) = HOSTS.keys() - {environment}
        name = HOSTS[other][host].split("/")[2].upper()
        for argument in ("core_url", "edge_url"):
            message = refused(resolve, environment=environment, **{argument: "https://" + form.format(name)})
            assert other in message
            assert environment in message

    def test_the_host_of_the_same_environment_is_not(self):
        config = resolve(environment="production", core_url=HOSTS["production"][Host.CORE])
        assert config.core_url == HOSTS["production"][Host.CORE]


class TestKeys:
    def test_one_of_any_kind_is_needed(self):
        assert "KELVIQ_SERVER_API_KEY" in refused(Config.resolve)
        for name in ("server_key", "client_key", "partner_key"):
            assert Config.resolve(**{name: KEY}).key(Key(name.removesuffix("_key"))).reveal() == KEY

    @pytest.mark.parametrize("name", ["server_key", "client_key", "partner_key"])
    @pytest.mark.parametrize(
        "key",
        [
            "",
            "Bearer kq_live_s3cret",
            "bearer kq_live_s3cret",
            "kq_live_s3cret\n",
            "kq_live_s3cret\r\nX-Evil: 1",
            "kq live s3cret",
            " kq_live_s3cret",
            "kq_live_s3cret\x00",
            "kq_live_s3crét",
            b"kq_live_s3cret",
            5,
            ["kq_live_s3cret"],
            Secret("kq_live_s3cret\r\nX-Evil: 1"),
            Secret(""),
        ],
        ids=repr,
    )
    def test_what_no_header_should_carry_is_refused(self, name, key):
        assert name in refused(resolve, **{name: key})

    def test_keys_may_be_functions_which_are_asked_later(self):
        def give():
            raise AssertionError

        config = Config.resolve(server_key=give)
        assert config.server_key is give
        assert config.account == "default"

    def test_a_secret_is_a_key(self):
        assert checked_key(Secret(KEY), "it") == Secret(KEY) == resolve(server_key=Secret(KEY)).server_key

    def test_nothing_shows_them(self):
        config = resolve(
            client_key="client_s3cret", partner_key="partner_s3cret", proxy="http://u:s3cret@proxy:8080"
        )
        for shown in (repr(config), str(config), f"{config}", repr(attrs.asdict(config)["server_key"])):
            assert "s3cret" not in shown

    def test_nothing_shows_what_a_function_holds(self):
        config = resolve(client_key=functools.partial(str, "vault_s3cret"))
        assert "s3cret" not in repr(config)
        assert "client_key=***" in repr(config)
        assert "partner_key=None" in repr(config)

    def test_secrets_show_stars(self):
        secret = Secret(KEY)
        for shown in (
            repr(secret),
            str(secret),
            f"{secret}",
            repr([secret]),
            repr({secret: secret}),
        ):
            assert "s3cret" not in shown
            assert "***" in shown
        assert secret.reveal() == KEY
        assert secret == copy.copy(secret) == Secret(KEY)
        assert hash(secret) == hash(Secret(KEY))
        assert secret != Secret("another")
        assert secret != KEY
        assert not hasattr(secret, "__dict__")


class TestAccounts:
    def test_one_account_for_one_key(self):
        assert resolve().account == resolve(client_key="other", environment="production").account
        assert resolve().account != Config.resolve(server_key="another").account
        assert KEY not in resolve().account

    def test_any_name_will_do(self):
        assert resolve(account="acme").account == "acme"

    @pytest.mark.parametrize("account", ["", 5, b"acme", ["acme"]])
    def test_but_it_is_a_name(self, account):
        assert "account" in refused(resolve, account=account)


class TestAddresses:
    def test_one_alone_serves_as_both(self):
        for name in ("core_url", "edge_url"):
            config = resolve(**{name: "http://127.0.0.1:8080"})
            assert config.core_url == config.edge_url == "http://127.0.0.1:8080/api/v1"

    def test_two_are_two(self):
        config = resolve(core_url="https://a.example", edge_url="https://b.example/")
        assert (config.core_url, config.edge_url) == ("https://a.example/api/v1", "https://b.example/api/v1")

    @pytest.mark.parametrize(
        ("url", "checked"),
        [
            ("https://example.com", "https://example.com/api/v1"),
            ("https://example.com/", "https://example.com/api/v1"),
            ("https://example.com/kelviq/v2/", "https://example.com/kelviq/v2"),
            ("HTTPS://example.com:8443", "https://example.com:8443/api/v1"),
            ("http://localhost:8080", "http://localhost:8080/api/v1"),
            ("http://LOCALHOST", "http://LOCALHOST/api/v1"),
            ("http://127.0.0.1", "http://127.0.0.1/api/v1"),
            ("http://127.9.9.9:1", "http://127.9.9.9:1/api/v1"),
            ("http://[::1]:8080", "http://[::1]:8080/api/v1"),
        ],
    )
    def test_plain_http_only_to_this_machine(self, url, checked):
        assert checked_url(url, "core_url") == checked

    @pytest.mark.parametrize(
        "url",
        [
            "http://example.com",
            "http://10.0.0.1",
            "http://0.0.0.0",
            "http://[::]",
            "http://192.168.0.1",
            "http://127.0.0.1.example.com",
            "http://localhost.example.com",
            "http://emulator.localhost",
            "http://127.1",
            "http://2130706433",
            "http://host.docker.internal",
        ],
    )
    def test_plain_http_to_others_is_refused(self, url):
        assert "plain http" in refused(checked_url, url, "core_url")

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "example.com",
            "//example.com",
            "ftp://example.com",
            "file:///etc/passwd",
            "https://",
            "https:///path",
            "https://user:s3cret@example.com",
            "https://s3cret@example.com",
            "https://example.com?key=s3cret",
            "https://example.com#s3cret",
            "https://exam ple.com",
            "https://example.com\n",
            "https://example.com\r\nX-Evil: 1",
            "https://example.com\x00",
            "https://example.com\\@evil.com",
            "http://127.0.0.1\\.evil.com",
            "https://api.kelviq\u3002com",
            "https://[::1",
            "https://example.com:port",
            "https://example.com:99999",
            None,
            5,
            b"https://example.com",
        ],
        ids=repr,
    )
    def test_what_is_no_address_is_refused(self, url):
        assert "edge_url" in refused(checked_url, url, "edge_url")

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.255.0.1", "::1"])
    def test_loopback(self, host):
        assert is_loopback(host)

    @pytest.mark.parametrize(
        "host", ["", "localhost.", "a.localhost", "128.0.0.1", "::2", "127", "example.com"]
    )
    def test_not_loopback(self, host):
        assert not is_loopback(host)


class TestHeaders:
    def test_plain_ones_pass(self):
        given = {"X-Request-Id": "a b~!", "x_y.z": ""}
        assert checked_headers(given) == given
        assert checked_headers(given) is not given
        assert checked_headers(None) == {}

    @pytest.mark.parametrize(
        "headers",
        [
            {"X-A": "a\r\nX-Evil: 1"},
            {"X-A": "a\n"},
            {"X-A": "\x00"},
            {"X-A": "é"},
            {"X-A": 5},
            {"X-A": None},
            {"X-A": b"a"},
            {"X-A\r\nX-Evil": "1"},
            {"X A": "1"},
            {"X:A": "1"},
            {"é": "1"},
            {"": "1"},
            {5: "1"},
            [("X-A", "1")],
            "X-A: 1",
        ],
        ids=repr,
    )
    def test_what_could_break_a_request_open_is_refused(self, headers):
        refused(checked_headers, headers)

    @pytest.mark.parametrize(
        "name",
        [
            *("Authorization", "AUTHORIZATION", "X-Kelviq-Partner-Key", "Proxy-Authorization", "Host"),
            *("Content-Length", "Content-Type", "Content-Encoding", "Transfer-Encoding", "Connection"),
            *("Expect", "TE", "Trailer", "Upgrade"),
        ],
    )
    def test_what_the_library_sets_is_its_own(self, name):
        assert name in refused(checked_headers, {name: "s3cret"})

    def test_the_name_of_an_application(self):
        assert resolve(user_agent="shop/1.0").user_agent == "shop/1.0"
        for agent in ("shop\r\nX-Evil: 1", "é", 5):
            refused(resolve, user_agent=agent)


class TestTheRest:
    @pytest.mark.parametrize(
        "value", [0, -1, float("nan"), float("inf"), 10**400, True, "5", b"5", [], 1e300]
    )
    def test_seconds(self, value):
        assert "seconds" in refused(checked_seconds, value, "timeout")

    def test_seconds_may_be_none(self):
        assert checked_seconds(None, "timeout") is None
        assert checked_seconds(5, "timeout") == 5.0
        assert type(checked_seconds(5, "timeout")) is float
        assert checked_seconds(0.001, "timeout") == 0.001

    @pytest.mark.parametrize(
        "limits",
        [
            {"connections": 0},
            {"connections": True},
            {"connections": 1.5},
            {"answer_bytes": -1},
            {"keepalive": 0},
            {"keepalive": None},
            {"keepalive": "30"},
        ],
        ids=str,
    )
    def test_limits(self, limits):
        assert next(iter(limits)) in refused(Limits, **limits)

    def test_limits_are_limits(self):
        assert "limits" in refused(resolve, limits=5)
        assert resolve(limits=Limits(connections=5)).limits.connections == 5

    @pytest.mark.parametrize(
        "proxy",
        [
            "",
            "proxy:8080",
            "socks5://proxy",
            "http://",
            "http://[::1",
            "http://proxy:port",
            "http://pro xy",
            5,
            b"x",
        ],
        ids=repr,
    )
    def test_proxies(self, proxy):
        assert "proxy" in refused(resolve, proxy=proxy)

    def test_a_proxy_may_have_a_password_which_is_not_shown(self):
        config = resolve(proxy="http://user:s3cret@proxy.example.com:8080")
        assert config.proxy.endswith(":8080")
        assert "s3cret" not in repr(config)

    @pytest.mark.parametrize("value", [False, True, "cert.pem", 5])
    def test_certificates_are_always_checked(self, value):
        assert "certificates" in refused(resolve, ssl=value)

    def test_tls_settings(self):
        context = ssl.create_default_context()
        assert resolve(ssl=context).ssl is context

    def test_options_for_one_attempt(self):
        options = Options(timeout=5, headers={"X-A": "s3cret"}, cache=False)
        attempt = options.for_attempt(2, 12.5)
        assert (attempt.attempt, attempt.deadline) == (2, 12.5)
        assert attrs.evolve(attempt, attempt=1, deadline=None) == options
        assert "s3cret" not in repr(options)
