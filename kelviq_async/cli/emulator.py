"""``kelviq-async emulator``: Kelviq in a box on a local port."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, NoReturn

from cyclopts import Parameter

from .. import ConfigError, Kelviq, codec
from ..emulator import World, serve
from ..emulator.state import EndpointRow
from .stopping import on_signals


def emulator(
    *,
    port: int = 8080,
    host: str = "127.0.0.1",
    allow_remote: Annotated[bool, Parameter(negative="")] = False,
    server_key: str = "sk_test_emulator",
    client_key: str = "ck_test_emulator",
    partner_key: str = "pk_test_emulator",
    webhook_url: str | None = None,
    webhook_secret: str | None = None,
    state: Path | None = None,
    seed: Path | None = None,
    strict: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Run Kelviq in a box on a local port, until Ctrl-C.

    Parameters
    ----------
    port
        Port to listen on; 0 for any free one.
    host
        Address to listen on.
    allow_remote
        Needed for an address that other machines can reach: whoever reaches it controls it.
    server_key
        Server API key it accepts.
    client_key
        Client API key it accepts.
    partner_key
        Partner key it accepts.
    webhook_url
        Where to deliver all webhooks.
    webhook_secret
        Secret to sign them with; made up if not given.
    state
        File to go on from, if it exists, and to write at the end.
    seed
        File with a catalogue and customers to begin with; not read where a state goes on.
    strict
        Refuse requests that the documentation does not know, with the reason.
    """
    if state is not None and not state.absolute().parent.is_dir():
        _fail(f"{state} cannot be written: there is no such folder")  # said now, not after the work
    _check_keys(server_key, client_key, partner_key)
    world = World(server_key=server_key, client_key=client_key, partner_key=partner_key, strict=strict)
    if state is not None and state.exists():
        _read(state, world.restore)
    elif seed is not None:
        _read(seed, world.seed_from)
    endpoint = None if webhook_url is None else _endpoint(world, webhook_url, webhook_secret)
    asyncio.run(_run(world, port, host, endpoint, allow_remote=allow_remote))
    if state is not None:
        _write(state, world.snapshot())


async def _run(
    world: World, port: int, host: str, endpoint: EndpointRow | None, *, allow_remote: bool
) -> None:
    over = on_signals()
    try:
        server = await serve(world, port, host=host, allow_remote=allow_remote).start()
    except ValueError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"cannot listen on {host}:{port}: {os.strerror(error.errno) if error.errno else error}")
    try:
        lines = {
            "address": server.url,
            "server key": world.server_key,
            "client key": world.client_key,
            "partner key": world.partner_key,
        }
        if endpoint is not None:
            lines["webhook secret"] = endpoint.secret
        for name, value in lines.items():
            # plain and at once: other programs read these lines
            print(f"{name}: {value}", flush=True)
        with contextlib.suppress(asyncio.CancelledError):
            await over.wait()
    finally:
        await server.stop()


def _check_keys(server: str, client: str, partner: str) -> None:
    """End the command over keys that no client could send, or that do not tell who asks."""
    try:
        Kelviq(server, client, partner_key=partner)
    except ConfigError as error:
        _fail(str(error))
    if len({server, client, partner}) < 3:
        _fail("the server, client and partner key must differ")


def _endpoint(world: World, url: str, secret: str | None) -> EndpointRow:
    """The endpoint for an address: the one that a restored state knows, or a new one."""
    known = next((row for row in world.webhooks.endpoints if row.url == url), None)
    if known is not None and secret in {None, known.secret}:
        return known
    try:
        if known is not None:
            world.webhooks.remove(known.id)
        return world.webhooks.register(url, events=["*"], secret=secret)
    except ValueError as error:
        _fail(str(error))


def _read(path: Path, take: Any) -> None:
    """Hand a file's content over; a file that cannot be used ends the command."""
    try:
        take(json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal))
    except OSError as error:
        _fail(f"{path} cannot be read: {error.strerror or error}")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        _fail(f"{path} cannot be used: {error}")


def _write(path: Path, data: Any) -> None:
    """Replace the file in one step, so that a crash leaves the old one."""
    partial = path.with_name(f".{path.name}.part")
    try:
        partial.write_bytes(codec.encode(data))
        partial.replace(path)
    except OSError as error:
        _fail(f"{path} cannot be written: {error.strerror or error}")


def _fail(reason: str) -> NoReturn:
    print(reason, file=sys.stderr)
    raise SystemExit(2)
