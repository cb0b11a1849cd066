"""One hybrid, fitted once for all that ask it."""

import pytest

from tailorbird.models.hybrid.fit import FittedHybrid
from tailorbird.models.hybrid.model import HybridModel
from tests.models.hybrid.asking import Steps, fit


@pytest.fixture(scope="module")
def steps() -> Steps:
    return Steps()


@pytest.fixture(scope="module")
def fitted(steps: Steps) -> FittedHybrid:
    return fit(steps)


@pytest.fixture(scope="module")
def model(fitted: FittedHybrid) -> HybridModel:
    return fitted.model
