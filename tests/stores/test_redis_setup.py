"""How a store in Redis is set up; nothing here connects to one."""

import sys

import pytest

from kelviq_async import Kelviq
from kelviq_async.errors import ConfigError, KelviqError
from kelviq_async.stores import RedisStore, StoreFailed


@pytest.mark.parametrize(
    "url",
    [
        *("", "redis", "redis://", "redis:///0", "http://localhost", "localhost:6379", "redis://h:port"),
        *(
            "redis://h:70000",
            "redis://h/db",
            "redis://h/0/1",
            "redis://h/-1",
            "redis://h?db=x",
            "redis://h?db=",
            "unix://",
        ),
        *("redis://h#0", "redis://[::1", "redis://h?decode_responses=true", "redis://h?socket_timeout=x"),
        *(
            "redis://h?retry=1",
            "rediss://h?ssl_nonsense=1",
            "rediss://h?ssl_cert_reqs=perhaps",
            "redis://h:0",
            "redis://h:0/1",
            "redis://ho st",
            "redis:// h",
            "redis://h ",
            None,
            5,
            b"redis://h",
        ),
    ],
)
def test_a_url_that_cannot_be_used(url):
    with pytest.raises(ConfigError) as raised:
        RedisStore(url)
    assert isinstance(raised.value, ValueError)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://localhost", "redis://localhost"),
        ("redis://localhost:6380/3", "redis://localhost:6380/3"),
        ("redis://ada:hunter2@localhost/", "redis://localhost/"),
        ("redis://:hunter2@[::1]:6379/0?client_name=me", "redis://[::1]:6379/0"),
        ("redis://localhost?username=ada&password=hunter2&db=2", "redis://localhost"),
        ("rediss://ada:hunter2@localhost?ssl_cert_reqs=required", "rediss://localhost"),
        ("unix://ada@/run/redis.sock?password=hunter2&db=1", "unix:///run/redis.sock"),
    ],
)
def test_its_repr_says_where_it_is_and_nothing_secret(url, place):
    store = RedisStore(url, prefix="shop")
    assert repr(store) == f"RedisStore({place!r}, prefix='shop')"
    assert "hunter2" not in str(vars(store))


def test_a_url_with_a_password_is_not_quoted():
    for url in ("redis://ada:hunter2@h:port", "redis://ada:hunter2@h?retry=1", "http://ada:hunter2@h"):
        with pytest.raises(ConfigError) as raised:
            RedisStore(url)
        assert "hunter2" not in f"{raised.value!r} {raised.value.__cause__!r}"
        assert raised.value.__suppress_context__ or raised.value.__context__ is None


@pytest.mark.parametrize(
    "settings",
    [
        *({"prefix": each} for each in ("", "a b", "é", "x" * 201, None)),
        *({"deadline": each} for each in (0, -1, float("nan"), True, None, "1")),
        *({"pause": each} for each in (0, float("inf"), None)),
        *({"failures": each} for each in (0, 1.5, True, None)),
    ],
)
def test_settings_that_cannot_be(settings):
    with pytest.raises(ConfigError, match=next(iter(settings))):
        RedisStore("redis://localhost", **settings)


def test_without_redis_py_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(ConfigError, match=r"kelviq-async\[redis\]"):
        RedisStore("redis://localhost")


def test_it_fails_with_an_error_of_ours():
    assert issubclass(StoreFailed, KelviqError)


@pytest.mark.parametrize(
    "thing", ["redis://localhost", 5, object(), RedisStore, {}], ids=lambda each: type(each).__name__
)
def test_a_client_takes_a_store_and_not_what_might_become_one(thing):
    with pytest.raises(ConfigError, match=r"RedisStore\(url\)"):
        Kelviq("key", store=thing)
