import pytest

from instanter.sim.shop import Shop


@pytest.fixture(scope="session")
def shop() -> Shop:
    return Shop(seed=7)
