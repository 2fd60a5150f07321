"""Turns one sentence into sound, in a process of its own that ends with it.

It is given one request as JSON and answers with JSON and, after it, the sound as the engine's own WAV or
AIFF. Only here is pyttsx3 used. What it needs (measured with 2.99 and espeak-ng):

- it hangs now and then, on a second use above all: hence one process for one sentence, which ends itself;
- with espeak-ng `runAndWait` returns at once while the sound is still being made: the truth is the event
  `finished-utterance`. sapi5 works without events, and on macOS the file can come after the event;
- properties reach espeak-ng only from an idle engine and late: set, wait, read back, or they are lost.
  Before the first `runAndWait` the engine counts as busy, and waiting costs 0.8 s for each property;
- it writes files only: into memory without a name where the system has that.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.util
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from voice_facilitator.machine.child_process import Pipes
from voice_facilitator.speaking import voices

_LONGEST_REQUEST = 1 << 16  # bytes
_PROPERTY_SECONDS = 0.8  # how long a property may take to arrive; 0.02 s is usual


def run(pipes: Pipes[Any, Any]) -> None:
    """The process's main function."""
    request = json.loads(pipes.receive_bytes(_LONGEST_REQUEST))
    _end_by_itself(request["limit"])
    os.dup2(1, 2)  # to nowhere, like what the driver prints ("Audio saved to ...")
    try:
        header, sound = _answer(request)
    except Exception as error:  # noqa: BLE001  # whatever it is, the other side has to know
        header, sound = {"error": "speech-failed", "message": f"{type(error).__name__}: {error}"}, b""
    pipes.send_bytes(json.dumps(header).encode())
    pipes.send_bytes(sound)


def _answer(request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    try:
        engine = _engine(request.get("driver"))
    except Exception as error:  # noqa: BLE001  # ImportError, OSError, RuntimeError, COM errors ...
        return {"error": "no-speech-engine", "message": f"{type(error).__name__}: {error}"}, b""
    known = _voices(engine)
    if request["do"] == "voices":
        return {"voices": [[v.id, v.name, v.language] for v in known]}, b""
    wished = voices.named(known, request["voice"])
    voice = wished or voices.for_language(known, request["language"])
    ignored = _set(engine, {"voice": voice.id if voice else None, "rate": request["words_per_minute"]})
    if request["voice"] and wished is None:
        ignored.append("voice")
    with _file_in_memory(request.get("folder"), "aiff" if sys.platform == "darwin" else "wav") as path:
        _save(engine, request["text"], path, request["limit"])
        return {"voice": voice.id if voice else "", "ignored": ignored}, Path(path).read_bytes()


def _engine(driver: str | None) -> Any:
    import pyttsx3  # noqa: PLC0415  # it loads the engine: here it can be answered

    try:
        return pyttsx3.init(driver)
    except Exception:
        if not _load_bundled_espeak():
            raise
        return pyttsx3.init(driver)


def _load_bundled_espeak() -> bool:
    """Where the system has no espeak-ng: takes the one of the package `espeakng-loader`, if there is one.

    It is not among our requirements: espeak-ng is GPL-3, and the system's own is better looked after.
    """
    if sys.platform != "linux" or importlib.util.find_spec("espeakng_loader") is None:
        return False
    loader = importlib.import_module("espeakng_loader")
    os.environ["ESPEAK_DATA_PATH"] = str(Path(loader.get_data_path()).parent)
    ctypes.CDLL(loader.get_library_path(), mode=ctypes.RTLD_GLOBAL)  # pyttsx3 finds it by its name now
    return True


def _voices(engine: Any) -> list[voices.Voice]:
    found = []
    for voice in engine.getProperty("voices") or []:
        languages = [str(language) for language in voice.languages or [] if language]
        language = voices.tidy_language(languages[0]) if languages else ""
        found.append(voices.Voice(str(voice.id), str(voice.name or voice.id), language))
    return found


def _is_espeak(engine: Any) -> bool:
    return "espeak" in str(engine.driver_name)


def _set(engine: Any, properties: dict[str, Any]) -> list[str]:
    """Sets the properties; returns the names of those that did not arrive."""
    if not _is_espeak(engine):  # these take them in order with the sentence
        for name, value in properties.items():
            if value is not None:
                engine.setProperty(name, value)
        return []
    engine.runAndWait()  # with nothing to say: from now on the engine is idle and takes properties at once
    return [n for n, value in properties.items() if value is not None and not _arrives(engine, n, value)]


def _arrives(engine: Any, name: str, value: Any) -> bool:
    until = time.monotonic() + _PROPERTY_SECONDS
    while time.monotonic() < until:
        engine.setProperty(name, value)
        time.sleep(0.02)
        if engine.getProperty(name) == value:
            return True
    return False


def _save(engine: Any, text: str, path: str, limit_seconds: float) -> None:
    done = threading.Event()
    engine.connect("finished-utterance", lambda **_: done.set())
    engine.save_to_file(text, path)
    engine.runAndWait()
    if _is_espeak(engine):
        if not done.wait(limit_seconds):
            raise TimeoutError("no finished-utterance")
        return
    until, last = time.monotonic() + limit_seconds, -1
    while time.monotonic() < until:
        size = Path(path).stat().st_size if Path(path).exists() else -1
        if size > 44 and size == last:  # longer than a WAV header, and at rest
            return
        last = size
        time.sleep(0.05)
    raise TimeoutError("the file does not get ready")


@contextlib.contextmanager
def _file_in_memory(folder: str | None, ending: str) -> Iterator[str]:
    """A path to write to: memory without a name in any folder (Linux), else a file in `folder`."""
    if folder is not None:  # its owner removes it, even when we are killed
        yield str(Path(folder) / f"sentence.{ending}")
        return
    handle = os.memfd_create("sentence")
    try:
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)


def _end_by_itself(limit_seconds: float) -> None:
    """Ends this process soon after the limit, even when nobody is left to kill it."""
    if hasattr(signal, "setitimer"):  # works while a library holds the interpreter, too
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, limit_seconds + 1)
    timer = threading.Timer(limit_seconds + 1, os._exit, [1])
    timer.daemon = True
    timer.start()
