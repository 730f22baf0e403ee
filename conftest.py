"""What the examples in the package's docstrings take for granted."""

import numpy as np
import pytest

pytest_plugins = ["tests.seconds"]


@pytest.fixture(autouse=True, scope="session")
def _known_to_examples(doctest_namespace):
    doctest_namespace["np"] = np
