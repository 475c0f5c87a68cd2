"""Imports that wait for their first use change nothing that a reader of the module can see."""

import ssl
import sys

import pytest

from streamer import later
from streamer.later import Later, LaterLogger, without_extras


def test_value_that_counts_as_false_is_found() -> None:
    """It is not mistaken for a submodule."""
    assert Later("ssl").CERT_NONE is ssl.CERT_NONE
    assert Later("xml").etree.__name__ == "xml.etree"
    with pytest.raises(ModuleNotFoundError):
        _ = Later("ssl").no_such_name


def test_logging_hides_no_package_from_other_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the first import of structlog does, at the start of a process."""
    import structlog  # noqa: F401 - it is there from here on

    def never() -> None:
        raise AssertionError("the extras were hidden")

    monkeypatch.setattr(later, "without_extras", never)
    LaterLogger().debug("a line")


def test_extras_are_hidden_for_a_while() -> None:
    """Even if somebody tidies up in the meantime."""
    absent = [name for name in ("colorama", "greenlet", "rich") if name not in sys.modules]
    with without_extras():
        assert all(sys.modules[name] is None for name in absent)
        sys.modules.pop(next(iter(absent), ""), None)
    assert not set(absent) & sys.modules.keys()
