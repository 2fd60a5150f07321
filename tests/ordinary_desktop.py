"""A desktop as an ordinary user has it: a sound server of the user's own, found the way libpulse finds it.

    with OrdinaryDesktop(tmp_path, "pulseaudio") as desktop:
        desktop.doctor()

The program runs without `PULSE_SERVER`, without root, and with a home and a runtime folder of its own. Where
the tests run as root, a user namespace makes an ordinary user of it; an ordinary user needs none.

Needs the Debian packages pulseaudio, pulseaudio-utils and util-linux; for PipeWire pipewire-pulse,
wireplumber and dbus.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np

TOP = Path(__file__).parent.parent
LIMIT = 60.0  # seconds; a busy machine starts a sound server slowly
_UID = 1000
_FEED = "feed"
_MICROPHONE = ("module-remap-source", "source_name=mic", f"master={_FEED}.monitor")
_SPEAKER = ("module-null-sink", "sink_name=speaker")
# PipeWire's own daemons in one session; the last line is what the test wants to run.
_PIPEWIRE = "pipewire & sleep 1; wireplumber & pipewire-pulse & wait"
NEEDS = {
    "pulseaudio": ("pulseaudio", "pactl", "pacat"),
    "pipewire": ("pipewire", "pipewire-pulse", "wireplumber", "dbus-run-session", "pactl", "pacat"),
}


def missing(server: str) -> str:
    """Why there can be no such desktop here; empty when there can be one."""
    if sys.platform != "linux":
        return "the desktop needs Linux"
    absent = [tool for tool in NEEDS[server] if shutil.which(tool) is None]
    if absent:
        return f"not installed: {', '.join(absent)}"
    if os.getuid() == 0 and subprocess.run([*_as_ordinary_user(), "true"], check=False).returncode:
        return "this kernel gives no user namespaces"
    return ""


def _as_ordinary_user() -> list[str]:
    return ["unshare", "--user", f"--map-user={_UID}", f"--map-group={_UID}"] if os.getuid() == 0 else []


class OrdinaryDesktop:
    """See the module. `runtime`: the name of the runtime folder, which may hold anything a path can."""

    def __init__(self, folder: Path, server: str, runtime: str = "run") -> None:
        self._server_kind = server
        self._home = folder / "home"
        self._runtime = folder / runtime
        for path in (self._home, self._runtime):
            path.mkdir(mode=0o700)
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        self.environment = {
            **kept,
            "HOME": str(self._home),
            "XDG_RUNTIME_DIR": str(self._runtime),
            "PYTHONPATH": str(TOP),
        }
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        return self._runtime / "pulse/native"

    def __enter__(self) -> Self:
        if self._server_kind == "pulseaudio":
            command = ["pulseaudio", "--daemonize=no", "--exit-idle-time=-1", "-n"]
            command += ["-L", "module-native-protocol-unix"]
        else:
            command = ["dbus-run-session", "sh", "-c", _PIPEWIRE]
        quiet = subprocess.DEVNULL
        self._server = subprocess.Popen(
            [*_as_ordinary_user(), *command],
            env=self.environment,
            stdout=quiet,
            stderr=quiet,
            start_new_session=True,
        )
        try:
            self._wait_until(lambda: self.pactl("info", check=False).returncode == 0)
            self.pactl("load-module", "module-null-sink", f"sink_name={_FEED}")
            self.pactl("load-module", *_MICROPHONE)
            self.pactl("load-module", *_SPEAKER)
            self.pactl("set-default-source", "mic")
            self.pactl("set-default-sink", "speaker")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()

    def pactl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Speak to the sound server as the user."""
        return subprocess.run(
            [*_as_ordinary_user(), "pactl", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=check,
            timeout=LIMIT,
        )

    def hum(self) -> subprocess.Popen[bytes]:
        """Somebody hums at the microphone until the process is killed."""
        tone = 0.3 * np.sin(2 * np.pi * 180 * np.arange(48_000 * 60) / 48_000)
        raw = self._home / "hum.raw"
        raw.write_bytes((tone * 32767).astype("<i2").tobytes())
        command = ["pacat", "--playback", f"--device={_FEED}", "--raw", "--format=s16le", "--channels=1"]
        return subprocess.Popen(
            [*_as_ordinary_user(), *command, "--rate=48000", str(raw)], env=self.environment
        )

    def program(self, *arguments: str, **changes: str | None) -> subprocess.Popen[str]:
        """Start the program as the user. `changes`: of the environment; None takes a variable away."""
        environment = {**self.environment, **{k: v for k, v in changes.items() if v is not None}}
        for name in [k for k, v in changes.items() if v is None]:
            environment.pop(name, None)
        return subprocess.Popen(
            [*_as_ordinary_user(), sys.executable, "-m", "voice_facilitator", *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def doctor(self, **changes: str | None) -> dict[str, dict[str, str]]:
        """What `doctor` finds, by what it is about."""
        output, _ = self.program("doctor", "--json", **changes).communicate(timeout=3 * LIMIT)
        return {finding["what"]: finding for finding in json.loads(output)}

    def events(self, session: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
        """The events of a session started with `--events -`, as they come."""
        assert session.stdout is not None
        for line in session.stdout:
            yield json.loads(line)

    def _wait_until(self, there: Any) -> None:
        until = time.monotonic() + LIMIT
        while not there():
            if time.monotonic() > until:
                raise RuntimeError(f"{self._server_kind} does not start")
            time.sleep(0.1)
