"""The blocking client in a forked child: connections of its own, and the parent's go on."""

import os
import textwrap

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

# The server answers with the port that a request came from, so that connections can be told apart.
PRELUDE = """
import gc, http.server, json
from kelviq_sync import Kelviq

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        body = json.dumps({"customerId": str(self.client_address[1]), "entitlements": []}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
address = f"http://127.0.0.1:{server.server_port}"
atexit.register(server.socket.close)

def port(client):
    return client.customers.retrieve("a").customer_id

def fork(child):
    # Runs `child` in a forked process that exits like any other, and waits for it.
    if pid := os.fork():
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if status:
            print("child left with", status)
    else:
        child()
        sys.exit(0)
"""


@pytest.fixture
def forking(script):
    return lambda source: script(PRELUDE + textwrap.dedent(source))


def test_a_child_has_connections_of_its_own_and_the_parents_go_on(forking):
    assert forking("""
        kelviq = Kelviq("sk_test", core_url=address)
        ports = [port(kelviq)]

        def child():
            mine = [port(kelviq), port(kelviq)]
            print("child", mine[0] == mine[1], mine[0] != ports[0])
            kelviq.close()
            gc.collect()

        fork(child)
        ports.append(port(kelviq))
        fork(child)
        ports.append(port(kelviq))
        print("parent", len(set(ports)))
        kelviq.close()
    """) == ["child True True", "child True True", "parent 1"]


def test_a_child_that_drops_a_client_does_not_harm_the_parent(forking):
    assert forking("""
        kelviq = Kelviq("sk_test", core_url=address)
        view = kelviq.with_options(timeout=5)
        ports = [port(kelviq), port(view)]

        def child():
            global kelviq, view
            del kelviq, view
            gc.collect()
            print("child", port(Kelviq("sk_test", core_url=address)) != ports[0])

        fork(child)
        ports.append(port(view))
        print("parent", len(set(ports)))
        kelviq.close()
    """) == ["child True", "parent 1"]


def test_a_child_that_drops_rows_does_not_harm_the_parent(forking):
    assert forking("""
        kelviq = Kelviq("sk_test", core_url=address)
        rows = kelviq.entitlements.check_many(("a", "b") for _ in iter(int, 1))
        next(rows)

        def child():
            global rows
            del rows
            gc.collect()
            print("child", port(kelviq).isdigit())

        fork(child)
        print("parent", next(rows).allowed)
        rows.close()
        kelviq.close()
    """) == ["child True", "parent False"]


def test_a_call_under_way_during_the_fork_ends_in_the_parent(forking):
    assert forking("""
        asked, go = threading.Event(), threading.Event()

        def observe(attempt):
            asked.set()
            go.wait(20)

        kelviq = Kelviq("sk_test", core_url=address, observer=observe)
        thread = threading.Thread(target=lambda: print("parent", port(kelviq).isdigit()))
        thread.start()
        asked.wait(10)

        def child():
            go.set()
            print("child", port(kelviq).isdigit())

        fork(child)
        go.set()
        thread.join(10)
        kelviq.close()
    """) == ["child True", "parent True"]


def test_a_block_can_be_left_on_both_sides(forking):
    assert forking("""
        with Kelviq("sk_test", core_url=address) as kelviq:
            port(kelviq)
            pid = os.fork()
        if pid:
            print("child left with", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        try:
            port(kelviq)
        except ClientClosed:
            print("parent" if pid else "child", "is closed")
        if not pid:
            print("child", _loop.running())
    """) == ["child is closed", "child True", "child left with 0", "parent is closed"]


def test_leaving_a_block_in_a_child_starts_nothing(forking):
    assert forking("""
        with Kelviq("sk_test", core_url=address) as kelviq:
            port(kelviq)
            pid = os.fork()
        if pid:
            os.waitpid(pid, 0)
        print(_loop.running())
    """) == ["False", "True"]


def test_a_client_that_was_closed_stays_closed_in_the_child(forking):
    assert forking("""
        kelviq = Kelviq("sk_test", core_url=address)
        view = kelviq.with_options(timeout=5)
        port(kelviq)
        kelviq.close()

        def child():
            for client in (kelviq, view):
                try:
                    port(client)
                except ClientClosed:
                    print("closed")
            view.open()
            print(port(kelviq).isdigit())

        fork(child)
    """) == ["closed", "closed", "True"]


def test_views_follow_into_the_child(forking):
    assert forking("""
        kelviq = Kelviq("sk_test", core_url=address)
        view = kelviq.with_options(timeout=5).with_options(headers={"X-One": "1"})
        ports = {port(kelviq), port(view)}
        fork(lambda: print(len(ports), len({port(view), port(kelviq)}), len(ports | {port(view)})))
        kelviq.close()
    """) == ["1 1 2"]


def test_a_child_keeps_settings_that_came_from_the_environment(forking):
    assert forking("""
        os.environ |= {"KELVIQ_SERVER_API_KEY": "sk_first", "KELVIQ_CORE_URL": address}
        kelviq = Kelviq.from_env(timeout=5)
        port(kelviq)

        def child():
            del os.environ["KELVIQ_SERVER_API_KEY"]
            os.environ |= {"KELVIQ_ENV": "production", "KELVIQ_CORE_URL": "http://127.0.0.1:1"}
            print(port(kelviq).isdigit(), kelviq.config.environment, kelviq.config.server_key.reveal())

        fork(child)
        kelviq.close()
    """) == ["True sandbox sk_first"]


def test_rows_belong_to_the_process_that_began_them(forking):
    assert forking("""
        kelviq = Kelviq("sk_test", core_url=address)
        with kelviq.entitlements.check_many([("a", "b")] * 3, concurrency=1) as rows:
            print(next(rows).allowed)
            pid = os.fork()
            if pid:
                os.waitpid(pid, 0)
                print(len(list(rows)))
            else:
                try:
                    next(rows)
                except WrongLoop as error:
                    print(error)
        kelviq.close()
    """) == ["False", "this iterator was begun in another process; begin a new one here", "2"]


def test_a_scope_is_left_by_the_parent_alone(forking):
    assert forking("""
        from contextlib import asynccontextmanager
        from kelviq_sync._blocking import Scope

        @asynccontextmanager
        async def held():
            yield
            print("left")

        with Scope(held()):
            pid = os.fork()
        if pid:
            os.waitpid(pid, 0)
    """) == ["left"]


def test_a_local_world_is_copied(forking):
    assert forking("""
        kelviq = Kelviq.local()
        kelviq.customers.create("before")

        def child():
            kelviq.customers.create("after")
            print("child", sorted(each.customer_id for each in kelviq.customers.each()))

        fork(child)
        print("parent", [each.customer_id for each in kelviq.customers.each()])
        kelviq.close()
    """) == ["child ['after', 'before']", "parent ['before']"]


def test_a_client_of_the_child_alone_is_like_any_other(forking):
    assert forking("""
        def child():
            with Kelviq("sk_test", core_url=address) as kelviq:
                print(port(kelviq).isdigit())

        fork(child)
        print(_loop.running())
    """) == ["True", "False"]
