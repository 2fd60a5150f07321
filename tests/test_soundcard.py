"""The sound card, on a virtual one."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support.virtual_room import VirtualRoom
from voice_facilitator.errors import ExitCode, FacilitatorError
from voice_facilitator.machine import soundcard

pytestmark = pytest.mark.room


def test_lists_the_devices_of_the_room(room: VirtualRoom) -> None:
    names = {(device.name, device.direction) for device in soundcard.devices()}
    assert (room.microphone, "input") in names
    assert (room.speaker, "output") in names


def test_finds_by_part_of_the_name_and_the_default(room: VirtualRoom) -> None:
    assert soundcard.find("ROOM_MIC", "input").name == room.microphone
    assert soundcard.find("m_speak", "output").name == room.speaker
    assert soundcard.find("", "output").is_default
    assert soundcard.find("", "input").is_default


@pytest.mark.parametrize(("direction", "code"), [("input", "no-microphone"), ("output", "no-speaker")])
def test_unknown_name_is_an_error_that_helps(
    room: VirtualRoom, direction: soundcard.Direction, code: str
) -> None:
    with pytest.raises(FacilitatorError) as caught:
        soundcard.find("rom_speakr", direction)
    assert caught.value.code == code
    assert caught.value.exit_code == ExitCode.NO_DEVICE
    assert f'Did you mean "{room.speaker}"?' in caught.value.hint
    assert room.microphone in caught.value.hint


def test_no_device_at_all(room: VirtualRoom) -> None:
    room.kill_server()
    soundcard.restart()
    with pytest.raises(FacilitatorError) as caught:
        soundcard.open_input("", lambda _: None, lambda: None)
    assert (caught.value.code, caught.value.exit_code) == ("no-microphone", ExitCode.NO_DEVICE)


def test_microphone_gives_blocks_until_closed(room: VirtualRoom) -> None:
    blocks: list[bytes] = []
    finished = threading.Event()
    stream = soundcard.open_input(room.microphone, keeping(blocks), finished.set)
    _wait_for(lambda: len(blocks) > 0)
    tone = (8000 * np.sin(np.arange(16_000) * 0.2)).astype(np.int16)
    room.play_into_microphone(tone, 16_000)
    assert stream.active
    assert stream.rate == soundcard.HEARING_RATE
    assert stream.close()
    assert not stream.active
    assert not finished.is_set(), "closing is no loss of the device"
    assert {len(block) for block in blocks} == {2 * round(0.02 * stream.rate)}
    heard = np.frombuffer(b"".join(blocks), np.int16)
    assert np.count_nonzero(np.abs(heard.astype(int)) > 500) > 10_000


def test_a_microphone_that_takes_only_its_own_rate_gives_that(
    room: VirtualRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As raw ALSA devices do. The sound server would take any rate, so the refusal is ours."""
    sounddevice = pytest.importorskip("sounddevice")

    class Stubborn(sounddevice.RawInputStream):  # type: ignore[misc]
        def __init__(self, **options: object) -> None:
            if options["samplerate"] != 48_000:
                raise sounddevice.PortAudioError("Invalid sample rate", -9997)
            super().__init__(**options)

    monkeypatch.setattr(sounddevice, "RawInputStream", Stubborn)
    blocks: list[bytes] = []
    stream = soundcard.open_input(room.microphone, keeping(blocks), lambda: None)
    _wait_for(lambda: len(blocks) > 5)
    assert stream.rate == 48_000
    assert stream.close(5)
    assert {len(block) for block in blocks} == {2 * 960}


def test_lost_microphone_is_told_and_found_again(room: VirtualRoom) -> None:
    blocks: list[bytes] = []
    finished = threading.Event()
    stream = soundcard.open_input(room.microphone, keeping(blocks), finished.set)
    _wait_for(lambda: len(blocks) > 0)
    room_stays_dead = threading.Event()
    threading.Thread(target=lambda: (room.kill_server(), room_stays_dead.set())).start()
    assert finished.wait(10)
    assert room_stays_dead.wait(10)
    assert stream.close(5)
    room.start_server()
    soundcard.restart()
    again: list[bytes] = []
    stream = soundcard.open_input(room.microphone, keeping(again), lambda: None)
    _wait_for(lambda: len(again) > 0)
    assert stream.close(5)


def test_without_portaudio_the_error_names_the_package() -> None:
    # A fresh interpreter in which the library cannot be found, as on a machine that lacks it.
    code = (
        "import ctypes.util, sys\n"
        "ctypes.util.find_library = lambda name: None\n"
        "import cffi; cffi.FFI.dlopen = lambda *a: (_ for _ in ()).throw(OSError('PortAudio not found'))\n"
        "import os, builtins\n"
        "from voice_facilitator.machine import soundcard\n"
        "from voice_facilitator.errors import FacilitatorError\n"
        "try: soundcard.devices()\n"
        "except FacilitatorError as error: print(error.code, int(error.exit_code), error.hint)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.startswith("no-portaudio 6"), done.stdout + done.stderr
    if sys.platform == "linux":
        assert "libportaudio2" in done.stdout


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (("Device unavailable", -9985), "microphone-taken"),
        (("Unanticipated host error", -9999, (0, -16, "Device or resource busy")), "microphone-taken"),
        (("Unanticipated host error", -9999, (0, -2004287478, "in use")), "microphone-taken"),
        (("Unanticipated host error", -9999, (0, -13, "Permission denied")), "microphone-not-permitted"),
        (("Unanticipated host error", -9999, (0, -2147024891, "denied")), "microphone-not-permitted"),
        (("Unanticipated host error", -9999, (0, -19, "No such device")), "no-microphone"),
        (("Invalid sample rate", -9997), "no-microphone"),
    ],
)
def test_why_a_microphone_does_not_open_is_told(
    room: VirtualRoom, monkeypatch: pytest.MonkeyPatch, refusal: tuple[object, ...], code: str
) -> None:
    import sounddevice

    def refuses(**_: object) -> None:
        raise sounddevice.PortAudioError(*refusal)

    monkeypatch.setattr(sounddevice, "RawInputStream", refuses)
    with pytest.raises(FacilitatorError) as caught:
        soundcard.open_input(room.microphone, lambda _: None, lambda: None)
    assert caught.value.code == code
    assert caught.value.hint


def keeping(blocks: list[bytes]) -> Callable[[memoryview], None]:
    """A microphone's blocks are good only while it is told of them."""
    return lambda block: blocks.append(bytes(block))


def _wait_for(met: object, limit: float = 15) -> None:
    until = time.monotonic() + limit
    while not met():  # type: ignore[operator]
        assert time.monotonic() < until, "nothing happened"
        time.sleep(0.02)


@pytest.mark.skipif(sys.platform != "linux", reason="ALSA is Linux's")
def test_a_device_whose_name_is_in_another_encoding_takes_no_other_away(tmp_path: Path) -> None:
    """In a home of its own: ALSA reads the file there."""
    (tmp_path / ".asoundrc").write_bytes(b"pcm.b\xfcro { type null }\n")
    code = (
        "from voice_facilitator.machine import soundcard\n"
        "soundcard.silence_native_noise()\n"
        "print([ascii(d.name) for d in soundcard.devices()])\n"
        "for name in ('b\\udcfcro', 'b\\ufffdro'):\n"
        "    device = soundcard.open_output(name, lambda samples, delay: False, lambda: None)\n"
        "    print(ascii(device.device_name), device.close())\n"
    )
    environment = {**os.environ, "HOME": str(tmp_path), "PULSE_SERVER": "unix:/nonexistent"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False, env=environment
    )
    assert "b\\ufffdro" in done.stdout, done.stdout + done.stderr
    assert done.stdout.count("'b\\ufffdro' True") == 2
