"""A room without a sound card: a private PulseAudio with one microphone and one speaker.

    with VirtualRoom() as room:
        with room.listening() as heard:                  # what the room's speaker plays
            room.play_into_microphone(samples, 16_000)   # what the room's microphone hears
        heard.stretches()                                # [(start, end), ...] on time.monotonic()

While the room is open, PortAudio of this process and of every process it starts sees exactly the devices
`room_mic` and `room_speaker` (and PulseAudio's own `pulse` and `default`, which are the same two).

Needs the Debian packages pulseaudio, pulseaudio-utils, libportaudio2 and libasound2-plugins.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

MICROPHONE = "room_mic"
SPEAKER = "room_speaker"
CAPTURE_RATE = 16_000
_FEED = "room_mic_feed"
_LOAD_MICROPHONE = ["module-remap-source", f"source_name={MICROPHONE}", f"master={_FEED}.monitor"]
_LOAD_SPEAKER = ["module-null-sink", f"sink_name={SPEAKER}", "rate=48000", "channels=2"]
_DEFAULT_PA = f"""
load-module module-native-protocol-unix auth-anonymous=1 socket={{socket}}
load-module module-null-sink sink_name={_FEED} {{microphone_format}}
load-module {" ".join(_LOAD_MICROPHONE)} {{microphone_format}}
load-module {" ".join(_LOAD_SPEAKER)}
set-default-source {MICROPHONE}
set-default-sink {SPEAKER}
"""
_ASOUNDRC = """
pcm.room_mic     { type pulse device "room_mic"     hint { show on description "Room microphone" } }
pcm.room_speaker { type pulse device "room_speaker" hint { show on description "Room speaker" } }
"""


def missing() -> str:
    """Why there can be no virtual room on this machine; empty when there can be one."""
    if sys.platform != "linux":
        return "the virtual room needs Linux"
    absent = [tool for tool in ("pulseaudio", "pactl", "parec", "pacat") if shutil.which(tool) is None]
    if absent:
        return f"not installed: {', '.join(absent)} (apt install pulseaudio pulseaudio-utils)"
    plugins = list(Path("/usr/lib").glob("*/alsa-lib/libasound_module_pcm_pulse.so"))
    return "" if plugins else "not installed: libasound2-plugins"


class Heard:
    """What a device of the room played. Times are seconds of time.monotonic()."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._count = 0
        self._zero = float("inf")  # time of the first sample, from the chunk that came with the least delay
        self._lock = threading.Lock()

    def add(self, chunk: bytes) -> None:
        now = time.monotonic()
        with self._lock:
            self._chunks.append(chunk)
            self._count += len(chunk) // 2
            self._zero = min(self._zero, now - self._count / CAPTURE_RATE)

    @property
    def samples(self) -> npt.NDArray[np.int16]:
        with self._lock:
            joined = b"".join(self._chunks)
        return np.frombuffer(joined[: len(joined) // 2 * 2], np.int16)

    @property
    def started_at(self) -> float:
        """When the first sample was played; good to about 0.05 s."""
        with self._lock:
            return self._zero

    def levels(self, step_seconds: float = 0.02) -> npt.NDArray[np.float64]:
        """RMS of each step; full scale is 1."""
        step = int(CAPTURE_RATE * step_seconds)
        samples = self.samples.astype(np.float64) / 32768
        count = len(samples) // step
        return np.sqrt((samples[: count * step].reshape(count, step) ** 2).mean(axis=1))

    def stretches(self, above: float = 0.002, bridge_seconds: float = 0.5) -> list[tuple[float, float]]:
        """Where something was heard: (start, end); pauses up to `bridge_seconds` do not part them."""
        step, bridge = 0.02, int(bridge_seconds / 0.02)
        found: list[list[int]] = []
        for index in np.flatnonzero(self.levels(step) > above):
            if found and index - found[-1][1] <= bridge:
                found[-1][1] = int(index) + 1
            else:
                found.append([int(index), int(index) + 1])
        return [(self.started_at + start * step, self.started_at + end * step) for start, end in found]


class VirtualRoom:
    """See the module. One at a time in a process: it works through the process environment."""

    microphone = MICROPHONE
    speaker = SPEAKER

    def __init__(self, microphone_rate: int = 48_000) -> None:
        """microphone_rate: in Hz; at 16 000 samples arrive in the program as they were played, bit by bit."""
        self._microphone_format = f"rate={microphone_rate} format=s16le channels=1"
        self.hurt = False  # a mishap happened and was not undone: `renew` before the next test
        self._folder = Path()
        self._server: subprocess.Popen[bytes] | None = None
        self._kept_awake: list[subprocess.Popen[bytes]] = []
        self._environment_before: dict[str, str | None] = {}

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="virtual-room-"))
        (self._folder / "asoundrc").write_text(_ASOUNDRC)
        changes = {
            "PULSE_SERVER": f"unix:{self._folder}/native",
            "PULSE_COOKIE": str(self._folder / "cookie"),
            "PULSE_SINK": None,
            "PULSE_SOURCE": None,
            "PULSE_RUNTIME_PATH": str(self._folder / "run"),
            "ALSA_CONFIG_PATH": f"/usr/share/alsa/alsa.conf:{self._folder}/asoundrc",
        }
        self._environment_before = {name: os.environ.get(name) for name in changes}
        _set_environment(changes)
        try:
            self.start_server()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill_server()
        _set_environment(self._environment_before)
        _forget_devices()
        shutil.rmtree(self._folder, ignore_errors=True)

    def renew(self) -> None:
        """As it was at the beginning."""
        self.kill_server()
        self.start_server()

    # ------------------------------------------------------------ sound

    @contextlib.contextmanager
    def listening(self, device: str = SPEAKER) -> Iterator[Heard]:
        """Captures what `device` plays as long as the block runs, and 0.2 s more."""
        heard = Heard()
        recorder = subprocess.Popen(
            [*_PAREC, f"--device={device}.monitor", f"--rate={CAPTURE_RATE}"], stdout=subprocess.PIPE
        )
        assert recorder.stdout is not None
        first = threading.Event()

        def read() -> None:
            while chunk := recorder.stdout.read1(65536):  # type: ignore[union-attr]
                heard.add(chunk)
                first.set()

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        if not first.wait(10):
            recorder.kill()
            raise RuntimeError(f"nothing comes from {device}")
        try:
            yield heard
            time.sleep(0.2)
        finally:
            recorder.kill()
            recorder.wait()
            reader.join(5)

    def play_into_microphone(
        self, samples: npt.NDArray[np.int16], rate: int, *, wait: bool = True
    ) -> subprocess.Popen[bytes]:
        """Lets the room's microphone hear int16 mono samples. `wait`: until they are over."""
        raw = self._folder / f"feed-{time.monotonic_ns()}.raw"
        raw.write_bytes(samples.astype("<i2").tobytes())
        command = ["pacat", "--playback", f"--device={_FEED}", "--raw", "--format=s16le", "--channels=1"]
        player = subprocess.Popen([*command, f"--rate={rate}", "--latency-msec=50", str(raw)])
        if wait:
            player.wait(len(samples) / rate + 20)
        return player

    # ------------------------------------------------------------ mishaps

    def start_server(self) -> None:
        """Starts the sound server: at the beginning, and again after `kill_server`."""
        script = self._folder / "default.pa"
        script.write_text(
            _DEFAULT_PA.format(socket=self._folder / "native", microphone_format=self._microphone_format)
        )
        options = ["--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1", "--disallow-exit"]
        options += ["--realtime=no", "--high-priority=no", f"--log-target=file:{self._folder}/pulse.log"]
        home = {"HOME": str(self._folder), "XDG_RUNTIME_DIR": str(self._folder)}
        self._server = subprocess.Popen(
            ["pulseaudio", "-n", "-F", str(script), *options],
            env={**os.environ, **home},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + 20
        while self._pactl("info", check=False) != 0:
            if time.monotonic() > until or self._server.poll() is not None:
                log = self._folder / "pulse.log"
                raise RuntimeError(f"PulseAudio does not start: {log.read_text() if log.exists() else ''}")
            time.sleep(0.05)
        self._stay_awake()
        _forget_devices()
        self.hurt = False

    def kill_server(self) -> None:
        """The sound server dies: every device of the room is gone."""
        self.hurt = True
        for process in (*self._kept_awake, self._server):
            if process is not None:
                process.kill()
                process.wait()
        self._kept_awake, self._server = [], None
        (self._folder / "native").unlink(missing_ok=True)

    def freeze_server(self) -> None:
        """The sound server stands still, as a hung driver makes it: calls into it never return."""
        assert self._server is not None
        self.hurt = True
        self._server.send_signal(signal.SIGSTOP)

    def thaw_server(self) -> None:
        assert self._server is not None
        self._server.send_signal(signal.SIGCONT)
        self.hurt = False

    def unplug_speaker(self) -> None:
        """The speaker vanishes, the microphone stays."""
        self._unplug(f"sink_name={SPEAKER}")

    def unplug_microphone(self) -> None:
        """The microphone vanishes; the server moves its listener elsewhere, be it to our own speaker."""
        self._unplug(f"source_name={MICROPHONE}")

    def plug_microphone(self) -> None:
        self._pactl("load-module", *_LOAD_MICROPHONE, *self._microphone_format.split())
        self._pactl("set-default-source", MICROPHONE)
        self.hurt = False

    def plug_camera(self) -> None:
        """Another microphone, which hears the same; the server may put it in the place of the first."""
        self.hurt = True
        self._pactl("load-module", "module-remap-source", "source_name=camera", f"master={_FEED}.monitor")
        self._pactl("set-default-source", "camera")

    def _unplug(self, argument: str) -> None:
        self.hurt = True
        modules = subprocess.run(
            ["pactl", "list", "short", "modules"], capture_output=True, text=True, check=True
        ).stdout
        number = next(line.split("\t")[0] for line in modules.splitlines() if argument in line)
        self._pactl("unload-module", number)

    def plug_speaker(self) -> None:
        self._pactl("load-module", *_LOAD_SPEAKER)
        self._pactl("set-default-sink", SPEAKER)
        self._stay_awake()
        self.hurt = False

    def _pactl(self, *arguments: str, check: bool = True) -> int:
        quiet = subprocess.DEVNULL
        return subprocess.run(
            ["pactl", *arguments], stdout=quiet, stderr=quiet, check=check, timeout=10
        ).returncode

    def _stay_awake(self) -> None:
        """Null sinks doze in steps of two seconds unless somebody listens to them closely."""
        for process in self._kept_awake:
            process.kill()
            process.wait()
        self._kept_awake = [
            subprocess.Popen(
                [*_PAREC, f"--device={device}.monitor", "--rate=8000"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for device in (_FEED, SPEAKER)
        ]


_PAREC = ["parec", "--raw", "--format=s16le", "--channels=1", "--latency-msec=20"]


def _set_environment(changes: dict[str, str | None]) -> None:
    for name, value in changes.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _forget_devices() -> None:
    """PortAudio of this process, where it is loaded, looks at its devices again."""
    if "sounddevice" in sys.modules:
        from voice_facilitator.machine import soundcard

        soundcard.restart()
