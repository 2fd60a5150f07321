"""The microphone's watchdog, against a sound system of our own with a clock of our own."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np
import pytest

from voice_facilitator.errors import FacilitatorError
from voice_facilitator.hearing.sound.microphone import MicrophoneSource, MicrophoneWedgedError, Ring

BLOCK = (np.arange(320) % 100 + 1).astype(np.int16).tobytes()


class Stream:
    def __init__(self, name: str, rate: int) -> None:
        self.device_name, self.rate = name, rate
        self.active = True
        self.hangs = False

    def close(self, limit_seconds: float = 1.0) -> bool:
        self.active = False
        return not self.hangs


class Room:
    """Time passes when the source sleeps; blocks come while `playing`."""

    def __init__(self) -> None:
        self.now = 50.0
        self.playing = True
        self.block = BLOCK
        self.devices = ["Table microphone", "Camera"]
        self.rate = 16_000
        self.opened: list[str] = []
        self.restarts = 0
        self.stream: Stream | None = None
        self.on_block: Callable[[bytes], None] = lambda _: None
        self.on_finished: Callable[[], None] = lambda: None

    def open_input(
        self, device_name: str, on_block: Callable[[bytes], None], on_finished: Callable[[], None]
    ) -> Stream:
        found = [name for name in self.devices if device_name in name]
        if not found:
            raise FacilitatorError("no-microphone", f"No microphone is called {device_name}.")
        self.opened.append(device_name)
        self.on_block, self.on_finished = on_block, on_finished
        self.stream = Stream(found[0], self.rate)
        return self.stream

    def restart(self) -> None:
        self.restarts += 1

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.playing and self.stream is not None and self.stream.active:
            self.on_block(self.block)


def start(room: Room, name: str = "", silent_seconds: float = 0.0) -> MicrophoneSource:
    return MicrophoneSource(
        name, silent_seconds=silent_seconds, sound=room, clock=lambda: room.now, sleep=room.sleep
    )


def listen(source: MicrophoneSource, room: Room, seconds: float) -> np.ndarray:
    until = room.now + seconds
    heard = [np.zeros(0, np.float32)]
    blocks = source.blocks() if not hasattr(source, "going") else source.going
    source.going = blocks  # type: ignore[attr-defined]
    for block in blocks:
        heard.append(block.copy())  # good until the next
        if room.now >= until:
            break
    return np.concatenate(heard)


def test_gives_what_the_device_gives() -> None:
    room = Room()
    source = start(room)
    heard = listen(source, room, 1.0)
    assert 15_000 < len(heard) <= 16_320
    np.testing.assert_array_equal(heard[:320], np.frombuffer(BLOCK, np.int16) / np.float32(32768))
    assert not source.lost
    source.close()
    assert room.stream is not None
    assert not room.stream.active


def test_a_device_with_its_own_rate_is_resampled() -> None:
    room = Room()
    room.rate = 48_000
    heard = listen(start(room), room, 3.0)
    assert len(heard) == pytest.approx(16_000 * 3 / 3, rel=0.1)  # our room always gives 16 000 a second


def test_the_first_block_may_take_its_time() -> None:
    room = Room()
    room.playing = False
    source = start(room)
    listen(source, room, 2.5)
    assert not source.lost
    listen(source, room, 1.0)
    assert source.lost


def test_a_device_that_stops_without_a_word_is_lost_and_comes_back_by_its_name() -> None:
    room = Room()
    source = start(room)
    listen(source, room, 1.0)
    room.playing = False
    listen(source, room, 0.4)
    assert not source.lost
    listen(source, room, 0.3)
    assert source.lost
    room.playing = True
    listen(source, room, 2.0)
    assert not source.lost
    assert room.restarts >= 1
    assert room.opened[0] == ""
    assert room.opened[-1] == "Table microphone"


def test_another_device_in_its_place_is_no_recovery() -> None:
    room = Room()
    source = start(room, "Table")
    listen(source, room, 1.0)
    room.devices = ["Camera"]
    room.on_finished()
    listen(source, room, 60.0)
    assert source.lost
    assert source.error is not None
    assert source.error.code == "no-microphone"
    room.devices = ["Camera", "Table microphone"]
    listen(source, room, 5.0)
    assert not source.lost


def test_who_named_no_device_gets_another_one_after_a_while() -> None:
    room = Room()
    source = start(room)
    listen(source, room, 1.0)
    room.devices = ["Camera"]
    room.on_finished()
    listen(source, room, 5.0)
    assert source.lost
    listen(source, room, 15.0)
    assert not source.lost


def test_no_microphone_at_the_start() -> None:
    room = Room()
    room.devices = []
    source = start(room)
    listen(source, room, 1.0)
    assert source.lost
    room.devices = ["Headset"]
    listen(source, room, 5.0)
    assert not source.lost


def test_a_sound_system_that_hangs_ends_the_process() -> None:
    room = Room()
    source = start(room)
    listen(source, room, 1.0)
    assert room.stream is not None
    room.stream.hangs = True
    room.playing = False
    with pytest.raises(MicrophoneWedgedError):
        listen(source, room, 2.0)


def test_renewing_takes_up_the_same_device_and_is_no_loss() -> None:
    room = Room()
    source = start(room)
    listen(source, room, 1.0)
    first = room.stream
    source.renew()
    assert first is not None
    assert not first.active
    assert not source._ring._memory.any()
    assert len(listen(source, room, 1.0)) > 12_000
    assert not source.lost
    assert room.opened == ["", "Table microphone"]


def test_that_it_hangs_is_told_across_the_process_border() -> None:
    told = pickle.loads(pickle.dumps(MicrophoneWedgedError()))
    assert isinstance(told, MicrophoneWedgedError)
    assert told.code == "microphone-wedged"


def test_zeros_from_the_start_on_are_no_sound() -> None:
    room = Room()
    room.block = bytes(640)
    source = start(room, silent_seconds=30)
    listen(source, room, 29.0)
    assert not source.lost
    listen(source, room, 2.0)
    assert source.lost
    assert source.error is not None
    assert source.error.code == "microphone-silent"
    room.block = BLOCK
    listen(source, room, 0.5)
    assert not source.lost
    room.block = bytes(640)
    opened = len(room.opened)
    listen(source, room, 120.0)
    assert not source.lost, "a quiet room is no fault once something was heard"
    assert room.opened[opened:] == ["Table microphone"], "but it is looked at once"


def test_zeros_from_another_source_in_its_place_are_noticed() -> None:
    """The sound server may put the monitor of our own speaker in the place of a microphone that is gone."""
    room = Room()
    source = start(room, silent_seconds=30)
    listen(source, room, 5.0)
    room.devices, room.block = ["Monitor of the speaker"], bytes(640)
    listen(source, room, 32.0)
    assert source.lost
    room.devices, room.block = ["Table microphone", "Monitor of the speaker"], BLOCK
    listen(source, room, 5.0)
    assert not source.lost


def test_the_ring_keeps_order_counts_drops_and_is_wiped() -> None:
    ring = Ring(1000, 900)
    sent: list[int] = []
    got: list[int] = []
    for k in range(20):
        block = np.arange(k * 300, (k + 1) * 300).astype(np.int16)
        ring.write(block.tobytes())
        sent += block.tolist()
        if k % 3 == 2:
            got += np.rint(ring.read() * 32768).astype(int).tolist()
    assert got == sent[: len(got)]
    assert ring.dropped == 0
    ring.write(np.ones(1500, np.int16).tobytes())
    assert ring.dropped == 1500 + 600 - 1000
    ring.wipe()
    assert len(ring.read()) == 0
    assert not ring._memory.any()
    assert not ring._out_memory.any()


def test_the_ring_never_holds_more_than_six_seconds_and_gives_them_in_pieces() -> None:
    ring = Ring(48_000 * 6, 12_000)
    ring.begin(16_000)
    ring.write(np.ones(16_000 * 10, np.int16).tobytes())
    assert ring.waiting == 16_000 * 6
    assert ring.dropped == 16_000 * 4
    assert len(ring.read()) == 4_000
    assert ring.waiting == 16_000 * 6 - 4_000
    ring.begin(48_000)
    assert ring.waiting == 0
    ring.write(np.ones(48_000, np.int16).tobytes())
    assert len(ring.read()) == 12_000
