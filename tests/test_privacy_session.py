"""A whole session of the real program, looked at from outside: it keeps nothing and talks to nobody.

One session runs without a network, under strace, and its processes' memory is read while somebody speaks and
after the voices were forgotten. Beside it runs a careless version of the program, in which the same look
must find what was said.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import demo_room, privacy_scan, virtual_room
from tests.privacy_scan import Found, Voiceprints
from tests.virtual_room import VirtualRoom
from voice_facilitator.hearing.voice_model import load_voice_model
from voice_facilitator.settings import load_settings

pytestmark = pytest.mark.room

TOP = Path(__file__).parent.parent
# What makes, changes or removes files, calls somebody, or starts a program.
_CALLS = (
    "open,openat,openat2,creat,mkdir,mkdirat,mknod,mknodat,rename,renameat,renameat2,link,linkat,symlink,"
    "symlinkat,truncate,unlink,unlinkat,socket,connect,bind,listen,memfd_create,execve"
)
# A network of its own with nothing in it but itself: the room page is served there, and leads nowhere.
_LOOPBACK_UP = """
import fcntl, os, socket, struct, sys
with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 0x49))
os.execv(sys.argv[1], sys.argv[1:])
"""
_ALONE = ["unshare", "-n", sys.executable, "-c", _LOOPBACK_UP]
LIMIT = 150.0  # seconds for the whole session on a busy machine; half a minute is usual
WHITELIST = tomllib.loads((Path(__file__).parent / "privacy_whitelist.toml").read_text())
PROTOCOL = """
title = "Half a minute"
description = "Story and close."
language = "en-gb"
goodbye = "Thank you. The voice patterns are deleted."
closing_seconds = 12
[[phase]]
name = "story"
title = "The story"
minutes = 0.3
floor = "presenter"
enrols_presenter = true
new_presenter = true
grace_seconds = 8
announcement = "The story is yours."
[[phase]]
name = "close"
title = "Close"
minutes = 0.3
floor = "everyone"
grace_seconds = 5
announcement = "Thank you."
"""


@dataclass
class Running:
    """A session in a process of its own."""

    folder: Path
    process: subprocess.Popen[str]
    during: dict[str, Found] = field(default_factory=dict)  # by part
    after: dict[str, Found] = field(default_factory=dict)
    pictures: list[dict[str, list[bytes]]] = field(default_factory=list, repr=False)  # of memory
    voices: Voiceprints | None = field(default=None, repr=False)
    locked: list[bool] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)  # of the hearing process
    resume: dict[str, Any] = field(default_factory=dict)  # the resume file while the session ran
    output: str = ""

    def take_picture(self) -> None:
        parts = sorted(self.parts().items(), key=lambda part: part[0] != "hearing")  # that one first
        self.pictures.append({part: privacy_scan.snapshot(pid) for part, pid in parts})

    def end(self) -> None:
        """Whatever happened: nothing of it goes on."""
        for pid in reversed(privacy_scan.family(self.process.pid)):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def events(self) -> list[dict[str, Any]]:
        with contextlib.suppress(OSError):
            lines = (self.folder / "events.jsonl").read_text().splitlines(keepends=True)
            return [json.loads(line) for line in lines if line.endswith("\n")]
        return []

    def happened(self, **wanted: Any) -> bool:
        return any(wanted.items() <= event.items() for event in self.events())

    def parts(self) -> dict[str, int]:
        """The processes of ours by what they do."""
        found = {}
        for pid in privacy_scan.family(self.process.pid):
            line = privacy_scan.command_line(pid)
            if line.startswith(("strace ", "unshare ")):
                continue
            kind = "program"
            if "multiprocessing" in line:
                kind = "helper"
                if "spawn_main" in line:
                    private = any(mapping.private for mapping in privacy_scan.mappings(pid))
                    kind = "hearing" if private else "speaking"
            elif "speaking.render" in line:
                kind = "render"
            found[kind] = pid
        return found


@dataclass(frozen=True)
class Evidence:
    real: Running
    careless: Running
    room: Path  # the folder of the virtual sound card
    traces: list[tuple[int, str]] = field(repr=False)  # thread and system call
    left_over: list[str]  # files in memory that were not there before


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evidence]:
    """Both sessions, from the first look to the last."""
    for reason in (virtual_room.missing(), *(_lacks(tool) for tool in ("strace", "unshare"))):
        if reason:
            pytest.skip(reason)
    if os.geteuid() != 0:
        pytest.skip("only root may look into the memory of these processes, which is as it should be")
    demo_room.needs_encoder()
    place = tmp_path_factory.mktemp("privacy")
    before = _files_in_memory()
    with VirtualRoom(microphone_rate=16_000) as room:  # what is played arrives bit by bit
        spoken = _story(16.0)
        needles = privacy_scan.sound_needles(spoken)
        room_folder = Path(os.environ["PULSE_COOKIE"]).parent
        (place / "trace").mkdir()
        watched = ["strace", "-ff", "--seccomp-bpf", "-y", "-s", "300", "-e", f"trace={_CALLS}"]
        watched += ["-o", str(place / "trace" / "of")]
        with contextlib.ExitStack() as stack:
            real = _start(place / "real", [*watched, *_ALONE], "voice_facilitator.cli")
            stack.callback(real.end)
            _wait_until(lambda: "hearing" in real.parts(), real)  # being watched makes it slow to start
            careless = _start(place / "careless", [], "tests.careless")
            stack.callback(careless.end)
            _look_at_both(room, spoken, real, careless)
            for running in (real, careless):
                running.output = running.process.communicate(timeout=LIMIT)[0]
    for running in (real, careless):
        running.during, running.after = (
            {part: privacy_scan.look(memory, needles, running.voices) for part, memory in picture.items()}
            for picture in running.pictures
        )
        running.pictures.clear()
    traces = [
        (int(file.suffix[1:]), line)
        for file in (place / "trace").iterdir()
        for line in file.read_text(errors="replace").splitlines()
    ]
    yield Evidence(real, careless, room_folder, traces, sorted(_files_in_memory() - before))


def _look_at_both(room: VirtualRoom, spoken: np.ndarray[Any, np.dtype[np.int16]], *both: Running) -> None:
    dim = load_voice_model(load_settings().hearing).encoder.dim
    for running in both:
        _wait_until(lambda r=running: r.happened(event="phase", name="story"), running)
        _wait_until(lambda r=running: "speaking" in r.parts() and "hearing" in r.parts(), running)
    time.sleep(3.0)  # the announcement: what is heard beside it is not listened to
    player = room.play_into_microphone(np.tile(spoken, 3), 16_000, wait=False)
    time.sleep(7.0)
    for running in both:
        parts = running.parts()
        _wait_until(lambda p=parts["hearing"]: len(privacy_scan.voiceprints(p, dim).rows) >= 4, running)
        running.voices = privacy_scan.voiceprints(parts["hearing"], dim)
        running.locked = [m.locked for m in privacy_scan.mappings(parts["hearing"]) if m.private]
        running.take_picture()
        running.threads = [int(task.name) for task in Path(f"/proc/{parts['hearing']}/task").iterdir()]
        with contextlib.suppress(OSError, ValueError):
            state = running.folder / "home/.local/state/voice-facilitator/resume.json"
            running.resume = json.loads(state.read_text())
    assert player.poll() is None, "the first picture has to be taken while somebody speaks"
    player.kill()
    player.wait()

    def look_again(running: Running) -> None:
        _wait_until(lambda: running.happened(event="forgotten"), running)
        time.sleep(0.5)  # for the order to arrive
        running.take_picture()

    with ThreadPoolExecutor() as pool:
        list(pool.map(look_again, both))


def _start(folder: Path, before: list[str], module: str) -> Running:
    folder.mkdir()
    for name in ("home", "tmp"):
        (folder / name).mkdir()
    (folder / "protocol.toml").write_text(PROTOCOL)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("XDG_")}
    environment |= {"HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp"), "PYTHONPATH": str(TOP)}
    arguments = ["run", "--protocol", str(folder / "protocol.toml"), "--begin-after", "0"]
    arguments += ["--microphone", virtual_room.MICROPHONE, "--speaker", virtual_room.SPEAKER]
    arguments += ["--events", str(folder / "events.jsonl")]
    process = subprocess.Popen(
        [*before, sys.executable, "-m", module, *arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=environment, cwd=folder,
    )  # fmt: skip
    return Running(folder, process)


def _story(seconds: float) -> np.ndarray[Any, np.dtype[np.int16]]:
    """The presenter's story out of the demo's room, int16 at 16 kHz."""
    room = demo_room.room()
    begin = demo_room.demo_room._LEAD_SECONDS
    for phase in room.protocol.phases:
        if phase.name == "story":
            break
        begin += phase.seconds
    sound = room.samples[int((begin + 4.5) * 16_000) :][: int(seconds * 16_000)]
    return (np.clip(sound, -1, 1) * 32767).astype(np.int16)


def _wait_until(happened: Callable[[], bool], running: Running) -> None:
    until = time.monotonic() + LIMIT
    while not happened():
        if running.process.poll() is not None or time.monotonic() > until:
            output = running.process.communicate(timeout=5)[0] if running.process.poll() is not None else ""
            raise AssertionError(f"it did not happen; {running.events()[-5:]} {output}")
        time.sleep(0.1)


def _lacks(tool: str) -> str:
    return "" if shutil.which(tool) else f"not installed: {tool}"


def _files_in_memory() -> set[str]:
    return {str(path) for path in Path("/dev/shm").rglob("*")}


# ---------------------------------------------------------------- memory


def test_sound_and_voices_are_in_the_hearing_process_alone(evidence: Evidence) -> None:
    during = evidence.real.during
    assert during["hearing"].sound["float32"] > 100, "the look must be able to find them"
    assert during["hearing"].voice_pairs > 20
    assert during["hearing"].voice_numbers == 1.0
    assert evidence.real.locked
    assert {"program", "speaking"} <= set(during)
    for kind, found in during.items():
        if kind != "hearing":
            assert not any(found.sound.values()), kind
            assert found.voice_pairs == 0, kind


def test_after_the_forgetting_they_are_nowhere(evidence: Evidence) -> None:
    assert "hearing" in evidence.real.after, "it must still be there to be looked at"
    for kind, found in evidence.real.after.items():
        assert not any(found.sound.values()), kind
        assert found.voice_pairs == 0, kind
        assert found.voice_numbers < found.by_chance + 0.1, kind


def test_the_same_look_finds_them_in_a_careless_program(evidence: Evidence) -> None:
    found = evidence.careless.after["hearing"]
    assert sum(found.sound.values()) > 100
    assert found.voice_pairs > 20
    assert found.voice_numbers > found.by_chance + 0.2


# ---------------------------------------------------------------- files and sockets


def test_the_session_runs_to_its_end_without_a_network(evidence: Evidence) -> None:
    assert evidence.real.process.returncode == 0, evidence.real.output
    assert [e["name"] for e in evidence.real.events() if e["event"] == "phase"] == ["story", "close"]
    assert evidence.real.happened(event="ended", reason="planned")
    assert evidence.real.happened(event="enrolment", quality="learning")


def test_only_what_is_on_the_list_is_written(evidence: Evidence) -> None:
    written: dict[str, str] = {}
    for _, line in evidence.traces:
        call = re.match(r"(\w+)\(", line)
        result = re.search(r"\) = (-?\d+)(?:<(.+?)>)?(?:\(deleted\))?( E\w+.*)?$", line)
        if call is None or result is None or result[1] == "-1":
            continue
        if call[1] in ("open", "openat", "openat2"):
            if re.search(r"O_WRONLY|O_RDWR|O_CREAT", line):
                written[str(result[2])] = line
        elif call[1] not in ("socket", "connect", "bind", "listen", "memfd_create", "execve"):
            names = re.findall(r'"([^"]*)"', line)
            assert names, line
            written.update(dict.fromkeys(names, line))
    assert str(evidence.real.folder / "events.jsonl") in written, "the watching must see what is written"
    unknown = {path: line for path, line in written.items() if not _listed("write", path, evidence)}
    assert not unknown


def test_from_before_it_hears_the_hearing_process_writes_nothing_at_all(evidence: Evidence) -> None:
    own: list[str] = []
    for thread in evidence.real.threads:
        lines = [line for at, line in evidence.traces if at == thread]
        # It loads its libraries, the filter's last, gives up its rights, and only then opens the microphone.
        filtered = max((k for k, line in enumerate(lines) if "libseccomp" in line), default=0)
        own += lines[filtered + 1 :]
    assert any("asound" in line for line in own), "the watching must see this process"
    opened = [line for line in own if re.search(r"O_WRONLY|O_RDWR|O_CREAT", line) and ") = -1" not in line]
    assert {path for line in opened for path in re.findall(r'"([^"]*)"', line)} <= {"/dev/null"}
    made = r"(creat|mkdir|mkdirat|mknod|mknodat|rename\w*|link|linkat|symlink\w*|truncate|execve)\("
    assert [line for line in own if re.match(made, line) and ") = 0" in line] == []


def test_it_calls_nobody_but_the_sound_server_of_this_computer(evidence: Evidence) -> None:
    sockets = [line for _, line in evidence.traces if line.startswith("socket(") and ") = -1" not in line]
    assert sockets
    assert [line for line in sockets if not re.match(r"socket\(AF_(UNIX|INET),", line)] == []
    bound = [line for _, line in evidence.traces if line.startswith("bind(") and ") = 0" in line]
    for line in bound:  # the room page, on this machine
        assert "AF_INET" in line, line
        assert 'inet_addr("127.0.0.1")' in line, line
    heard = set(evidence.real.threads)
    assert [line for t, line in evidence.traces if t in heard and "AF_INET" in line] == []
    called = [line for _, line in evidence.traces if line.startswith("connect(") and ") = 0" in line]
    assert called
    for line in called:
        path = re.search(r'sun_path=(@?)"([^"]*)"', line)
        assert path is not None, line
        assert _listed("connect", path[1] + path[2], evidence), line


def _listed(kind: str, path: str, evidence: Evidence) -> bool:
    folders = {"FOLDER": evidence.real.folder, "ROOM": evidence.room}
    for entry in WHITELIST[kind]:
        pattern = entry["path"]
        for name, folder in folders.items():
            pattern = pattern.replace(name, re.escape(str(folder)))
        if re.fullmatch(pattern, path):
            return True
    return False


# ---------------------------------------------------------------- what is in the files


def test_the_event_log_has_only_the_fields_that_are_documented(evidence: Evidence) -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| (.*?) \|", (TOP / "docs" / "events.md").read_text(), re.MULTILINE)
    allowed = {name: {"t", "event", *re.findall(r"`(\w+)`", fields)} for name, fields in rows}
    ours = _our_texts()
    for event in evidence.real.events():
        assert set(event) == allowed[event["event"]]
        if "text" in event:
            assert event["text"] in ours, "only our own announcements"


def test_the_resume_file_has_only_the_fields_on_the_list(evidence: Evidence) -> None:
    assert evidence.real.resume, "the session must have been kept while it ran"
    assert set(_paths(evidence.real.resume)) <= set(WHITELIST["resume"]["fields"])
    left = [p.name for p in (evidence.real.folder / "home").rglob("*") if p.is_file()]
    assert set(left) <= {"session.lock"}, "gone when the session has ended"
    assert not any(p.stat().st_size for p in (evidence.real.folder / "home").rglob("*.lock"))


def test_what_is_printed_is_the_frame_and_nothing_that_was_said(evidence: Evidence) -> None:
    known = [re.compile(line) for line in WHITELIST["summary"]["lines"]]
    strange = [
        line
        for line in evidence.real.output.splitlines()
        if not any(pattern.fullmatch(line) for pattern in known)
    ]
    assert strange == []


def test_no_file_is_left_over(evidence: Evidence) -> None:
    assert [path for path in evidence.left_over if not path.startswith("/dev/shm/jack_db-")] == []
    assert list((evidence.real.folder / "tmp").iterdir()) == []


def _our_texts() -> set[str]:
    """Every sentence of the protocol and the wording."""
    wording = tomllib.loads((TOP / "config" / "wording" / "en-gb.toml").read_text())
    protocol = tomllib.loads(PROTOCOL)
    texts = {phase["announcement"] for phase in protocol["phase"]} | {protocol["goodbye"]}
    return texts | set(wording["sentences"].values())


def _paths(data: dict[str, Any], above: str = "") -> Iterator[str]:
    for name, value in data.items():
        yield above + name
        if isinstance(value, dict):
            yield from _paths(value, f"{above}{name}.")
