"""What the tests of the networks share."""

import jaxtyping
import pytest


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns the tests' own type checks off: a user's wrong type must meet the library's message."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
