"""What tests have in common in which everybody does everything at once."""

import asyncio


async def dawdle(chance):
    """Take one's time, mostly: the others get in between."""
    if chance.random() < 0.6:
        await asyncio.sleep(chance.choice([0, chance.random() * 0.005]))


async def survive(seeds, make):
    """Run what is made of each seed, and say which it was that failed."""
    for seed in seeds:
        turmoil = make(seed)
        try:
            await turmoil.run()
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
        finally:
            await turmoil.end()
