"""The blocking client: its calls, its life, its views, and where it may be used."""

import asyncio
import gc
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest

import kelviq_async
import kelviq_sync
from kelviq_async import (
    BadRequest,
    ClientClosed,
    ConfigError,
    CreateCustomer,
    Customer,
    InvalidRequest,
    ListCustomers,
    Page,
    TimedOut,
    WrongLoop,
)
from kelviq_sync import _loop
from kelviq_sync._blocking import Scope

# Calls.


def test_a_call_comes_back_with_its_answer(scripted, answers):
    kelviq, transport = scripted(answers.customer)
    made = kelviq.customers.create("user-123", name="Ada")
    assert isinstance(made, Customer)
    assert made.customer_id == "user-123"
    assert transport.threads == {"kelviq-sync"}


def test_an_error_is_the_async_clients(scripted):
    kelviq, _ = scripted(lambda request: (400, {"detail": "no such plan"}))
    with pytest.raises(BadRequest, match="CreateCustomer: 400 no such plan"):
        kelviq.customers.create("user-123")


def test_what_cannot_be_right_is_not_sent(scripted, answers):
    kelviq, transport = scripted(answers.customer)
    with pytest.raises(InvalidRequest):
        kelviq.customers.retrieve("..")
    assert transport.asked == []


def test_any_request_can_be_sent_as_a_value(scripted, answers):
    kelviq, _ = scripted(answers.customer)
    assert kelviq.send(CreateCustomer("a")).customer_id == "a"
    raw = kelviq.send_raw(CreateCustomer("b"), timeout=2)
    assert (raw.status, raw.value.customer_id, raw.body) == (200, "b", b'{"customerId": "b"}')


def test_a_list_comes_page_by_page(scripted, answers):
    kelviq, _ = scripted(answers.listed(25))
    page = kelviq.customers.list()
    assert isinstance(page, Page)
    assert (len(page.results), page.count) == (10, 25)
    assert [each.customer_id for each in kelviq.customers.each()] == [str(n) for n in range(25)]
    assert len(list(kelviq.pages(ListCustomers(page=2)))) == 15


def test_decisions_are_the_async_clients(scripted, answers):
    kelviq, _ = scripted(answers.entitled)
    assert kelviq.entitlements.has_access("export-7", "export") is True
    assert kelviq.entitlements.has_access("export-7", "import") is False
    assert kelviq.entitlements.check("export-7", "export").require().allowed


def test_a_timeout_is_in_seconds(scripted):
    kelviq, _ = scripted(lambda request: asyncio.sleep(20))
    with pytest.raises(TimedOut):
        kelviq.with_options(timeout=0.01).customers.list()


def test_a_key_may_be_a_function_and_observers_are_told(scripted, answers):
    seen = []

    async def key():
        return "sk_late"

    kelviq, transport = scripted(answers.customer, server_key=key, observer=seen.append)
    kelviq.customers.retrieve("a")
    assert transport.asked[0].headers["Authorization"] == "Bearer sk_late"
    assert [(attempt.operation, attempt.status) for attempt in seen] == [("RetrieveCustomer", 200)]


# Where it may be used.


def test_fifty_threads_share_one_client(scripted, answers):
    kelviq, transport = scripted(answers.customer)
    ready = threading.Barrier(50)

    def work(number):
        ready.wait(30)
        return [kelviq.customers.retrieve(f"{number}-{n}").customer_id for n in range(20)]

    with ThreadPoolExecutor(50) as pool:
        results = list(pool.map(work, range(50)))
    assert results == [[f"{number}-{n}" for n in range(20)] for number in range(50)]
    assert transport.threads == {"kelviq-sync"}


def test_threads_that_touch_an_area_first_share_it(scripted, answers):
    scripted(answers.entitled)[0].live.entitlements.peek("a", "b")  # its module is loaded

    def race():
        kelviq, _ = scripted(answers.entitled)
        ready = threading.Barrier(8)

        def touch(_):
            ready.wait(30)
            return kelviq.live.entitlements

        with ThreadPoolExecutor(8) as pool:
            return len(set(pool.map(touch, range(8))))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        assert {race() for _ in range(50)} == {1}
    finally:
        sys.setswitchinterval(interval)


async def test_it_works_inside_a_running_loop(scripted, answers):
    kelviq, _ = scripted(answers.customer)
    assert kelviq.customers.retrieve("a").customer_id == "a"
    assert (await asyncio.to_thread(kelviq.customers.retrieve, "b")).customer_id == "b"


def test_a_blocking_call_on_its_own_loop_is_refused(scripted, answers):
    caught = []

    def observe(attempt):
        with pytest.raises(WrongLoop) as error:
            kelviq.customers.retrieve("b")
        caught.append(error.value)

    kelviq, transport = scripted(answers.customer, observer=observe)
    assert kelviq.customers.retrieve("a").customer_id == "a"
    assert (len(caught), len(transport.asked)) == (1, 1)


def test_an_interrupt_cancels_the_call_and_waits_for_that(script):
    assert script("""
        from kelviq_sync import Kelviq

        class Slow:
            async def send(self, request):
                try:
                    signal.pthread_kill(main, signal.SIGINT)
                    await asyncio.Event().wait()
                finally:
                    await asyncio.sleep(0)
                    print("ended")

            async def close(self):
                print("closed")

        try:
            with Kelviq("sk_test", core_url="http://localhost", transport=Slow()) as kelviq:
                kelviq.customers.create("a")
        except KeyboardInterrupt:
            print("interrupted")
    """) == ["ended", "closed", "interrupted"]


# Its life.


def test_a_block_opens_and_closes_it(scripted, answers):
    kelviq, transport = scripted(answers.customer)
    with kelviq as entered:
        assert entered is kelviq
        kelviq.customers.retrieve("a")
        assert transport.closed == 0
    assert transport.closed == 1
    with pytest.raises(ClientClosed):
        kelviq.customers.retrieve("a")


def test_a_block_lets_errors_pass(scripted, answers):
    kelviq, transport = scripted(answers.customer)
    with pytest.raises(ZeroDivisionError), kelviq:
        raise ZeroDivisionError
    assert transport.closed == 1


def test_a_closed_client_says_so_and_can_be_opened_again(scripted, answers):
    kelviq, _ = scripted(answers.customer)
    kelviq.close()
    kelviq.close()
    rows = kelviq.customers.each()
    for call in (
        lambda: kelviq.customers.retrieve("a"),
        lambda: next(rows),
        lambda: kelviq.send(CreateCustomer("a")),
    ):
        with pytest.raises(ClientClosed):
            call()
    assert kelviq.config.environment == "sandbox"
    assert kelviq.open() is kelviq
    assert kelviq.customers.retrieve("a").customer_id == "a"


def test_closing_a_client_that_made_no_call_starts_nothing(script):
    assert script("""
        from kelviq_sync import Kelviq
        kelviq = Kelviq("sk_test")
        view = kelviq.with_options(timeout=1)
        kelviq.close()
        print(_loop.running())
        for each in (kelviq, view):
            try:
                each.customers.list()
            except ClientClosed as error:
                print(error)
    """) == ["False", *["the client was closed; open() makes it usable again"] * 2]


def test_a_client_may_be_closed_as_the_interpreter_exits(script):
    assert script("""
        from kelviq_sync import Kelviq
        never_used = Kelviq("sk_test")
        atexit.unregister(_loop._process.exit)
        atexit.register(lambda: print("all closed"))
        atexit.register(never_used.close)
        opened = Kelviq("sk_test").open()
        atexit.register(opened.close)
        atexit.register(_loop._process.exit)  # handlers run last in, first out
    """) == ["all closed"]


def test_leaving_without_a_close_is_quiet(script):
    assert script("""
        import http.server

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        from kelviq_sync import Kelviq
        address = f"http://127.0.0.1:{server.server_port}"
        kept = Kelviq("sk_test", core_url=address)
        print(kept.customers.retrieve("a").customer_id)
        rows = kept.entitlements.check_many(("a", "b") for _ in iter(int, 1))
        print(next(rows).allowed)
        server.socket.close()
        """) == ["None", "False"]


def test_a_client_that_nobody_holds_lives_as_long_as_its_rows(scripted, answers):
    rows = scripted(answers.listed(25))[0].customers.each()
    gc.collect()
    assert len(list(rows)) == 25


def test_settings_are_checked_at_once(scripted, answers, monkeypatch):
    with pytest.raises(ConfigError):
        kelviq_sync.Kelviq()
    with pytest.raises(ConfigError):
        kelviq_sync.Kelviq("sk_test", timeout=-1)
    kelviq, _ = scripted(answers.customer)
    with pytest.raises(ConfigError):
        kelviq.with_options(timeout=-1)
    monkeypatch.setenv("KELVIQ_SERVER_API_KEY", "sk_env")
    assert kelviq_sync.Kelviq.from_env(timeout=3).config.server_key.reveal() == "sk_env"


def test_its_repr_hides_keys(scripted, answers):
    kelviq, _ = scripted(answers.customer)
    assert repr(kelviq) == "<Kelviq sandbox http://localhost/api/v1>"
    assert "sk_test" not in repr(vars(kelviq)) + repr(kelviq.config)


# Views.


def test_views_share_everything_but_their_options(scripted, answers):
    kelviq, transport = scripted(answers.customer)
    outer = kelviq.with_options(headers={"X-One": "1"})
    inner = outer.with_options(headers={"X-Two": "2"}, timeout=3)
    assert type(inner) is type(kelviq)
    for client in (kelviq, outer, inner):
        client.customers.retrieve("a")
    sent = [sorted({"X-One", "X-Two"} & set(request.headers)) for request in transport.asked]
    assert sent == [[], ["X-One"], ["X-One", "X-Two"]]
    inner.close()
    assert transport.closed == 1
    for client in (kelviq, outer, inner):
        with pytest.raises(ClientClosed):
            client.customers.retrieve("a")
    outer.open()
    assert kelviq.customers.retrieve("a").customer_id == "a"


def test_a_view_outlives_its_client(scripted, answers):
    view = scripted(answers.customer)[0].with_options(timeout=3)
    gc.collect()
    assert view.customers.retrieve("a").customer_id == "a"


# The emulator in this process.


def test_local_needs_neither_keys_nor_network():
    with kelviq_sync.Kelviq.local() as kelviq:
        kelviq.customers.create("user-123", name="Ada")
        assert kelviq.customers.retrieve("user-123").name == "Ada"


def test_local_takes_a_world():
    world = kelviq_async.emulator.World()
    with kelviq_sync.Kelviq.local(world, timeout=3) as kelviq:
        kelviq.customers.create("user-123")
    assert [entry.operation for entry in world.requests] == ["CreateCustomer"]


# Blocks on the loop.


@asynccontextmanager
async def held(log, value="held", *, swallow=False):
    log.append("enter")
    try:
        yield value
    except ZeroDivisionError:
        log.append("error")
        if not swallow:
            raise
    finally:
        await asyncio.sleep(0)
        log.append(f"leave {threading.current_thread().name}")


def test_a_scope_is_entered_and_left_on_the_loop():
    log = []
    with Scope(held(log)) as value:
        log.append(value)
    assert log == ["enter", "held", "leave kelviq-sync"]


def test_a_scope_sees_what_went_wrong():
    log = []
    with pytest.raises(ZeroDivisionError), Scope(held(log)):
        raise ZeroDivisionError
    with Scope(held(log, swallow=True)):
        raise ZeroDivisionError
    assert log == ["enter", "error", "leave kelviq-sync"] * 2


def test_an_interrupt_as_a_scope_is_entered_leaves_it(monkeypatch):
    log = []
    run = _loop.run

    def interrupted(coroutine):
        run(coroutine)
        if log[-1] == "enter":
            raise KeyboardInterrupt

    monkeypatch.setattr(_loop, "run", interrupted)
    with pytest.raises(KeyboardInterrupt), Scope(held(log)):
        log.append("never")
    assert log == ["enter", "leave kelviq-sync"]
