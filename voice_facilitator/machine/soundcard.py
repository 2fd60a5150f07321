"""The one door to the sound card: devices, the room's microphone and the room's speaker.

PortAudio has habits that decide the shape of this module (measured, Debian 12, PulseAudio):

- its list of devices is frozen until it is initialised again (`restart`), which closes every stream;
- `abort` and `close` can hang for ever when the sound server is frozen, so `close` works with a limit
  and says when only the end of the process helps;
- an exception in a callback is printed and lost, so the callbacks here do next to nothing.

One long file, because one rule holds for all of it: nothing else imports sounddevice.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from voice_facilitator.errors import ExitCode, FacilitatorError
from voice_facilitator.visible import visible

Direction = Literal["input", "output"]
Samples = npt.NDArray[np.int16]
Handle = TypeVar("Handle", bound="_Stream")

HEARING_RATE = 16_000  # Hz; what the hearing wants, so the device is asked for it first
BLOCK_SECONDS = 0.02
# With the 0.04 s that "high" means over PulseAudio, a starting speaker often underran again and again and
# swallowed a second of sound; with 0.1 s it never did in 100 starts. The price: stopping takes 0.16 s.
OUTPUT_LATENCY_SECONDS = 0.1
# What the system answers when another program holds a device, and when ours may not open it: errno as ALSA
# gives it, and Windows' AUDCLNT_E_DEVICE_IN_USE and E_ACCESSDENIED.
_TAKEN_CODES = frozenset({errno.EBUSY, 0x8889000A})
_DENIED_CODES = frozenset({errno.EACCES, errno.EPERM, 0x80070005})
_DEVICE_UNAVAILABLE = -9985  # PortAudio's paDeviceUnavailable: ALSA's EBUSY
# Windows shows one device once for each of its sound systems: the one that converts rates comes first.
_HOST_API_ORDER = ("Windows WASAPI", "MME", "Windows DirectSound", "Windows WDM-KS")


@dataclass(frozen=True, slots=True)
class Device:
    """A microphone (`input`) or a speaker (`output`). `rate`: its own sampling rate in Hz."""

    name: str
    direction: Direction
    rate: int
    channels: int
    is_default: bool
    host_api: str
    index: int  # PortAudio's number; good until `restart`


def load() -> None:
    """Loads PortAudio now: later this process may not. Raises FacilitatorError `no-portaudio`."""
    _portaudio()


def devices() -> list[Device]:
    """All microphones and speakers known to PortAudio since it was last initialised.

    Raises FacilitatorError `no-portaudio`.
    """
    sd = _portaudio()
    apis = sd.query_hostapis()
    found = []
    for index, entry in enumerate(sd.query_devices()):
        for direction in ("input", "output"):
            channels = int(entry[f"max_{direction}_channels"])
            if channels > 0:
                device = Device(
                    name=visible(entry["name"]),
                    direction=direction,
                    rate=round(entry["default_samplerate"]),
                    channels=channels,
                    is_default=index == sd.default.device[direction],
                    host_api=apis[entry["hostapi"]]["name"],
                    index=index,
                )
                found.append(device)
    return found


def find(name_part: str, direction: Direction) -> Device:
    """The device whose name is, or else contains, `name_part`; case does not matter, empty is the default.

    Names are compared as they are shown.

    Raises FacilitatorError `no-portaudio`, `no-microphone` or `no-speaker`.
    """
    code, kind = ("no-microphone", "microphone") if direction == "input" else ("no-speaker", "loudspeaker")
    known = sorted((d for d in devices() if d.direction == direction), key=_preference)
    wanted = visible(name_part.strip()).casefold()
    if not known and direction == "input" and _sound_cards_closed_to_us():
        raise _microphone_not_permitted("The microphones of this computer are")
    if not known:
        raise FacilitatorError(
            code, f"No {kind} was found.", _no_device_hint(kind), exit_code=ExitCode.NO_DEVICE
        )
    if not wanted:
        return next((d for d in known if d.is_default), known[0])
    exact = [d for d in known if d.name.casefold() == wanted]
    part = [d for d in known if wanted in d.name.casefold()]
    if exact or part:
        return (exact or part)[0]
    names = list(dict.fromkeys(d.name for d in known))
    near = difflib.get_close_matches(wanted, [name.casefold() for name in names], n=1, cutoff=0.5)
    mean = next((name for name in names if near and name.casefold() == near[0]), "")
    hint = f'Did you mean "{mean}"? ' if mean else ""
    hint += "There is: " + ", ".join(f'"{name}"' for name in names) + "."
    raise FacilitatorError(code, f'No {kind} is called "{name_part}".', hint, exit_code=ExitCode.NO_DEVICE)


def restart() -> None:
    """Initialises PortAudio anew, so that it sees devices that came or went; takes 0.05 to 0.12 s.

    Close every stream of this process first: they do not survive it.
    """
    sd = _portaudio()
    with contextlib.suppress(sd.PortAudioError):  # it may not be initialised: that is what we mend
        sd._terminate()
    try:
        sd._initialize()
    except sd.PortAudioError as error:
        raise _sound_system_broken(error) from error


def silence_native_noise() -> None:
    """Sends what ALSA and PortAudio print on their own to nowhere; Python's own stderr stays.

    For our helper processes, once at their start: those lines would run through the display.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    sys.stderr = os.fdopen(kept, "w", buffering=1, errors="backslashreplace")


class _Stream:
    """What microphone and speaker have in common. `rate`: Hz."""

    def __init__(self, device: Device, rate: int, on_finished: Callable[[], None]) -> None:
        self.device_name = device.name
        self.rate = rate
        self._on_finished = on_finished
        self._closing = False
        self._stream: Any = None

    @property
    def active(self) -> bool:
        """PortAudio's own view; it can stay true while no block comes any more: watch the blocks too."""
        stream = self._stream
        try:
            return bool(stream is not None and stream.active)
        except Exception:  # noqa: BLE001  # PortAudio was re-initialised under us: then it is not active
            return False

    def close(self, limit_seconds: float = 1.0) -> bool:
        """Stops and closes. False: PortAudio hangs, and only the end of this process helps."""
        self._closing = True
        stream, self._stream = self._stream, None
        if stream is None:
            return True

        def shut() -> None:
            with contextlib.suppress(Exception):  # it is gone one way or the other
                stream.abort(ignore_errors=True)
            with contextlib.suppress(Exception):
                stream.close(ignore_errors=True)

        worker = threading.Thread(target=shut, name="soundcard-close", daemon=True)
        worker.start()
        worker.join(limit_seconds)
        return not worker.is_alive()

    def _finished(self) -> None:
        if not self._closing:
            self._on_finished()


class InputStream(_Stream):
    """An open microphone. Give it back with `close`."""


class OutputStream(_Stream):
    """An open speaker that is silent until `start`. `latency_seconds`: what PortAudio buffers."""

    latency_seconds = 0.0

    def start(self) -> None:
        """Raises FacilitatorError `no-speaker` when the device went away meanwhile."""
        try:
            self._stream.start()
        except Exception as error:  # PortAudioError, and what its wrapper raises
            raise _refused("no-speaker", self.device_name, error) from error


def open_input(
    device_name: str, on_block: Callable[[memoryview], None], on_finished: Callable[[], None]
) -> InputStream:
    """Opens a microphone; its blocks come from a thread of PortAudio's as int16 mono.

    `device_name`: part of the name, empty is the default. `on_block` gets about 20 ms at
    `InputStream.rate`: 16 kHz where the device agrees, else its own rate. It must be quick: copy, and be
    gone; the memory it was given is the sound system's again. `on_finished` is called when the stream ends
    without `close`: the device is lost. The first block can take 1.8 s to come. A device that stands still
    may stop calling without a word, and on macOS a missing permission looks like blocks of zeros: both are
    for the caller to notice.

    Raises FacilitatorError `no-portaudio` or `no-microphone`.
    """
    device = find(device_name, "input")

    def opened(rate: int, channels: int) -> InputStream:
        handle = InputStream(device, rate, on_finished)

        def callback(data: Any, _frames: int, _time: Any, _status: Any) -> None:
            if channels == 1:
                on_block(memoryview(data))
            else:
                mixed = np.frombuffer(data, np.int16).reshape(-1, channels).mean(axis=1).astype(np.int16)
                on_block(mixed.data.cast("B"))
                mixed[:] = 0

        handle._stream = _portaudio().RawInputStream(
            callback=callback, finished_callback=handle._finished, **_options(device, rate, channels)
        )
        try:
            handle._stream.start()
        except Exception:
            handle.close()
            raise
        return handle

    return _first_that_opens(opened, device, [HEARING_RATE, device.rate, 48_000, 44_100], "no-microphone")


def open_output(
    device_name: str,
    fill: Callable[[Samples, float], bool],
    on_finished: Callable[[], None],
) -> OutputStream:
    """Opens a speaker at the device's own rate, silent until `OutputStream.start`.

    `fill(samples, delay_seconds)` writes the next int16 mono samples; the first of them is heard
    `delay_seconds` from now; it returns False when these were the last. It runs in a thread of
    PortAudio's and must be quick. `on_finished`: the stream ended without `close`, be it after the last
    sample or because the device is lost.

    Raises FacilitatorError `no-portaudio` or `no-speaker`.
    """
    device = find(device_name, "output")

    def opened(rate: int, channels: int) -> OutputStream:
        sd = _portaudio()
        handle = OutputStream(device, rate, on_finished)

        def callback(data: Any, frames: int, time: Any, _status: Any) -> None:
            out = np.frombuffer(data, np.int16).reshape(frames, channels)
            mono = np.zeros(frames, np.int16)
            more = fill(mono, time.outputBufferDacTime - time.currentTime)
            out[:] = mono[:, np.newaxis]
            if not more:
                raise sd.CallbackStop

        handle._stream = sd.RawOutputStream(
            callback=callback, finished_callback=handle._finished, **_options(device, rate, channels)
        )
        handle.latency_seconds = float(handle._stream.latency)
        return handle

    return _first_that_opens(opened, device, [device.rate, 48_000, 44_100], "no-speaker")


def _first_that_opens(
    opened: Callable[[int, int], Handle], device: Device, rates: list[int], code: str
) -> Handle:
    """Tries rates and channel counts: raw devices may refuse any but their own (PortAudio -9997, -9998)."""
    refusal: Exception | None = None
    for channels in dict.fromkeys((1, min(2, device.channels))):
        for rate in dict.fromkeys(rates):
            try:
                return opened(rate, channels)
            except Exception as error:  # noqa: BLE001  # PortAudioError, and ValueError from its wrapper
                refusal = error
    raise _refused(code, device.name, refusal) from refusal


def _options(device: Device, rate: int, channels: int) -> dict[str, Any]:
    sd = _portaudio()
    wasapi = device.host_api == "Windows WASAPI"
    return {
        "device": device.index,
        "samplerate": rate,
        "channels": channels,
        "dtype": "int16",
        "blocksize": round(rate * BLOCK_SECONDS),
        # A busy small computer must not lose blocks.
        "latency": "high" if device.direction == "input" else OUTPUT_LATENCY_SECONDS,
        "extra_settings": sd.WasapiSettings(auto_convert=True) if wasapi else None,
    }


def _preference(device: Device) -> int:
    known = device.host_api in _HOST_API_ORDER
    return _HOST_API_ORDER.index(device.host_api) if known else len(_HOST_API_ORDER)


def _portaudio() -> Any:
    """sounddevice, imported late: without PortAudio the import itself fails."""
    try:
        import sounddevice  # noqa: PLC0415  # see above
    except OSError as error:
        hint = {
            "linux": "Install it: sudo apt install libportaudio2 libasound2-plugins "
            "(Fedora: sudo dnf install portaudio alsa-plugins-pulseaudio).",
            "darwin": "Install sounddevice again, it brings PortAudio along: pip install --force-reinstall "
            "sounddevice (or: brew install portaudio).",
        }.get(sys.platform, "Install sounddevice again: pip install --force-reinstall sounddevice.")
        raise FacilitatorError(
            "no-portaudio", "The sound library PortAudio is missing.", hint, exit_code=ExitCode.NO_ENGINE
        ) from error
    except Exception as error:
        if type(error).__name__ == "PortAudioError":
            raise _sound_system_broken(error) from error
        raise
    if sys.platform != "win32":  # where sounddevice tries other encodings itself
        sounddevice._ffi_string = lambda text: _AnyEncoding(sounddevice._ffi.string(text))
    return sounddevice


class _AnyEncoding(bytes):
    """A text of the sound system's: one device whose name is not UTF-8 would take all of them away."""

    def decode(self, encoding: str = "utf-8", errors: str = "surrogateescape") -> str:
        return super().decode(encoding, errors)


def _sound_system_broken(error: Exception) -> FacilitatorError:
    return FacilitatorError(
        "no-portaudio",
        f"The sound system does not answer: {error}.",
        "Check that the sound of this computer works, then start again.",
        exit_code=ExitCode.NO_DEVICE,
    )


def _sound_cards_closed_to_us() -> bool:
    """Whether there is a microphone without a sound server that this user may not open."""
    microphones = list(Path("/dev/snd").glob("pcm*c")) if sys.platform == "linux" else []
    return bool(microphones) and not any(os.access(path, os.R_OK) for path in microphones)


def _microphone_not_permitted(who: str) -> FacilitatorError:
    hint = {
        "linux": "Add yourself to the group that may: sudo usermod -aG audio $USER; then log in again. "
        "In a Flatpak or a Snap, allow the microphone in its permissions.",
        "darwin": "Allow it under System Settings, Privacy & Security, Microphone.",
    }.get(sys.platform, "Allow desktop apps to use it: Settings, Privacy & security, Microphone.")
    message = f"{who} not open to this program."
    return FacilitatorError("microphone-not-permitted", message, hint, exit_code=ExitCode.NO_DEVICE)


def _refused(code: str, name: str, error: Exception | None) -> FacilitatorError:
    """What PortAudio's refusal means for people."""
    sd = _portaudio()
    if code == "no-microphone" and isinstance(error, sd.PortAudioError):
        number = error.args[1] if len(error.args) > 1 else 0
        told = int(error.args[2][1]) if len(error.args) > 2 else 0  # by the system itself
        of_system = {abs(told), told & 0xFFFFFFFF}
        if number == _DEVICE_UNAVAILABLE or not _TAKEN_CODES.isdisjoint(of_system):
            return FacilitatorError(
                "microphone-taken",
                f'Another program holds the microphone "{name}".',
                "Close that program (a video call, a recorder), or choose another microphone.",
                exit_code=ExitCode.NO_DEVICE,
            )
        if not _DENIED_CODES.isdisjoint(of_system):
            return _microphone_not_permitted(f'The microphone "{name}" is')
    return FacilitatorError(
        code,
        f'The device "{name}" cannot be opened: {error}.',
        "Check that it is plugged in and that no other program holds it; `voice-facilitator devices` lists "
        "what there is.",
        exit_code=ExitCode.NO_DEVICE,
    )


def _no_device_hint(kind: str) -> str:
    if sys.platform == "linux":
        return (
            f"Plug one in and check that the sound server runs (pactl info). Where the desktop knows a {kind}"
            " and this program does not: sudo apt install libasound2-plugins."
        )
    if sys.platform == "darwin" and kind == "microphone":
        return "Plug one in, and allow the terminal to use it: System Settings, Privacy, Microphone."
    return f"Plug a {kind} in, or switch it on in the system's sound settings."
