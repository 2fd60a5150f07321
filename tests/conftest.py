"""Fixtures for all tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

# Before NumPy is loaded, as the hearing process does: threads for its small matrices wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from tests.support import virtual_room
from tests.support.virtual_room import VirtualRoom
from voice_facilitator.machine import child_process

# A job in the background is deaf to Ctrl-C, and so would be every program that the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(
    signal, "SIGHUP"
):  # and under nohup to the end of its terminal; a handler is not inherited, deafness is
    signal.signal(signal.SIGHUP, lambda *_: None)


@pytest.fixture(scope="session", autouse=True)
def _own_state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests share no resume file and no lock with a session on this computer, nor with other tests' runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="module")
def _open_room() -> Iterator[VirtualRoom]:
    if reason := virtual_room.missing():
        pytest.skip(reason)
    with VirtualRoom() as opened:
        yield opened


@pytest.fixture
def room(_open_room: VirtualRoom) -> Iterator[VirtualRoom]:
    """A virtual room with one microphone and one speaker; skips where there can be none.

    One for a module, since its devices take two seconds to wake; made anew where a test broke it.
    """
    if _open_room.hurt:
        _open_room.renew()
    yield _open_room


@pytest.fixture
def no_room_for_a_process(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The system refuses to start a child process, once; it is full when the list has an entry."""
    refused: list[int] = []
    start = child_process.subprocess.Popen

    def launch(*arguments: object, **options: object) -> object:
        if not refused:
            refused.append(1)
            raise BlockingIOError("Resource temporarily unavailable")
        return start(*arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(child_process.subprocess, "Popen", launch)
    return refused


# The files that take longest, so that none of them is begun when everything else is done.
_FIRST = ("test_demo", "test_privacy_session", "test_faults_live", "test_display_run", "test_faults_devices")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The same order in every process of the run; within a file it stays as written."""
    items.sort(key=lambda item: item.path.stem not in _FIRST)
