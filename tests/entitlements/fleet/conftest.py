"""A fleet of as many processes as a test wants."""

import pytest

from tests.entitlements.fleet.processes import Clock, Flaky, Process


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(clock):
    return Flaky(clock=clock)


@pytest.fixture
async def process(store, clock):
    """Makes processes of one fleet, on one store."""
    made, wall = [], Clock(1_700_000_000.0)

    async def make(**settings):
        process = Process(**{"store": store, "clock": clock, "wall": wall, **settings})
        made.append(process)
        await process.fleet.start()
        return process

    make.wall = wall
    yield make
    for each in made:
        await each.fleet.aclose()
