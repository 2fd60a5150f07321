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
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import privacy_scan, privacy_stage
from tests.privacy_stage import TOP, Running
from tests.support import demo_room, virtual_room
from tests.support.virtual_room import VirtualRoom

pytestmark = pytest.mark.room

_OF_MACHINE = {"day", "version", "python", "system"}
WHITELIST = tomllib.loads((Path(__file__).parent / "privacy_whitelist.toml").read_text())
_GET = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=30).read().decode())"


@dataclass(frozen=True)
class Evidence:
    real: Running
    careless: Running
    room: Path  # the folder of the virtual sound card
    page: str  # the room page, fetched where the program's network is
    traces: list[tuple[int, str]] = field(repr=False)  # thread and system call
    left_over: list[str]  # files in memory that were not there before


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evidence]:
    """Both sessions, from the first look to the last."""
    for reason in (virtual_room.missing(), *(_lacks(tool) for tool in ("strace", "unshare", "nsenter"))):
        if reason:
            pytest.skip(reason)
    if os.geteuid() != 0:
        pytest.skip("only root may look into the memory of these processes, which is as it should be")
    demo_room.needs_encoder()
    place = tmp_path_factory.mktemp("privacy")
    before = _files_in_memory()
    (place / "trace").mkdir()
    watched = ["strace", "-ff", "--seccomp-bpf", "-y", "-s", "300", "-e", f"trace={privacy_stage.CALLS}"]
    watched += ["-o", str(place / "trace" / "of"), *privacy_stage.ALONE]
    with VirtualRoom(microphone_rate=16_000) as room:  # what is played arrives bit by bit
        room_folder = Path(os.environ["PULSE_COOKIE"]).parent
        with contextlib.ExitStack() as stack:
            real = privacy_stage.start(place / "real", watched, "voice_facilitator")
            stack.callback(real.end)
            careless = privacy_stage.start(place / "careless", [], "tests.careless")
            stack.callback(careless.end)
            page = _hold(room, real, careless)
            for running in (real, careless):
                running.process.wait(privacy_stage.LIMIT)
    traces = [
        (int(file.suffix[1:]), line)
        for file in (place / "trace").iterdir()
        for line in file.read_text(errors="replace").splitlines()
    ]
    yield Evidence(real, careless, room_folder, page, traces, sorted(_files_in_memory() - before))


def _hold(room: VirtualRoom, real: Running, careless: Running) -> str:
    """Both sessions to their ends, with the looks on the way; returns the room page."""
    both = (real, careless)
    spoken = privacy_stage.story()
    needles = privacy_scan.sound_needles(spoken)
    for running in both:
        running.wait_until(lambda r=running: r.happened(event="announcement", id="story.start"))
        # What is heard beside the announcement is not listened to.
        running.wait_until(lambda r=running: r.events()[-1].get("who") == "silence")
    player = room.play_into_microphone(np.tile(spoken, 60), 16_000, wait=False)
    for running in both:
        running.learn_what_it_holds(needles["float32"])
    real.during = real.look_everywhere(needles)
    page = _fetch(real)
    for running in both:
        running.press(privacy_stage.NEXT, lambda r=running: r.happened(event="phase", name="close"))
    assert player.poll() is None, "the looks have to be while somebody speaks"
    player.kill()
    player.wait()
    for running in both:
        running.wait_for_silence(needles["float32"])
        running.press(privacy_stage.NEXT, lambda r=running: r.happened(event="forgotten"))
        # Somebody takes the end back: the voices are gone all the same, and we can look as long as we like.
        running.press(privacy_stage.UNDO, lambda r=running: r.happened(event="phase", reason="undo"))
    real.wait_until_nothing_is_found(needles)
    real.after = real.look_everywhere(needles)
    careless.after = {"hearing": careless.look_at_hearing(needles)}
    for running in both:
        running.press(privacy_stage.LESS_TIME, lambda r=running: r.times(event="forgotten") > 1)
    return page


def _fetch(running: Running) -> str:
    """The room page, from inside the network that the program has for itself."""
    running.wait_until(lambda: "http://" in running.output)
    address = re.search(r"http://\S+?/", running.output)
    assert address is not None
    inside = ["nsenter", "--net", "--target", str(running.parts()["program"]), sys.executable]
    command = [*inside, "-c", _GET, address[0]]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def _lacks(tool: str) -> str:
    return "" if shutil.which(tool) else f"not installed: {tool}"


def _files_in_memory() -> set[str]:
    return {str(path) for path in Path("/dev/shm").rglob("*")}


# ---------------------------------------------------------------- memory


def test_sound_and_voices_are_in_the_hearing_process_alone(evidence: Evidence) -> None:
    during = evidence.real.during
    assert during["hearing"].sound["float32"] > 100, "the look must be able to find them"
    assert during["hearing"].voice_pairs > 20
    assert during["hearing"].voice_numbers > during["hearing"].by_chance + 0.5
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
    assert found.voice_numbers > found.by_chance + 0.5


# ---------------------------------------------------------------- files and sockets


def test_the_session_runs_to_its_end_without_a_network(evidence: Evidence) -> None:
    assert evidence.real.process.returncode == 0, evidence.real.output
    phases = [e["name"] for e in evidence.real.events() if e["event"] == "phase"]
    assert phases == ["story", "close", "close"]
    assert evidence.real.happened(event="ended", reason="planned")
    assert evidence.real.happened(event="enrolment", quality="learning")
    assert "<!doctype html>" in evidence.page.lower(), "the room page is there, and nowhere else"


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
    assert any(line.startswith("connect(") for line in own), "the watching must see this process"
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
            assert any(re.fullmatch(text, event["text"]) for text in ours), "only our own announcements"


def test_the_resume_file_has_only_the_fields_on_the_list(evidence: Evidence) -> None:
    assert evidence.real.resume, "the session must have been kept while it ran"
    assert set(_paths(evidence.real.resume)) <= set(WHITELIST["resume"]["fields"])
    left = [p.name for p in (evidence.real.folder / "home").rglob("*") if p.is_file()]
    assert set(left) <= {"session.lock", "faults.jsonl"}, "gone when the session has ended"
    assert not any(p.stat().st_size for p in (evidence.real.folder / "home").rglob("*.lock"))


def test_the_fault_log_has_only_the_fields_on_the_list(evidence: Evidence) -> None:
    (log,) = (evidence.real.folder / "home").rglob("faults.jsonl")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {line["what"] for line in lines} >= {"session", "ended"}
    for line in lines:
        assert set(line) == {"what", *WHITELIST["faults"][line["what"]]}
        texts = [value for name, value in line.items() if isinstance(value, str) and name not in _OF_MACHINE]
        assert all(re.fullmatch(r"[a-z-]+", text) for text in texts), "names from closed lists"


def test_what_is_printed_is_the_frame_and_nothing_that_was_said(evidence: Evidence) -> None:
    known = [*WHITELIST["summary"]["lines"], *(rf"\s+((says|shows): )?{text}" for text in _our_texts())]
    printed = evidence.real.output  # a long last line is broken somewhere
    unbroken = re.sub(r"(?s)Reminders: .*?(?=\n[^\n]*kept)", lambda m: " ".join(m[0].split()), printed)
    strange = [line for line in unbroken.splitlines() if not any(re.fullmatch(k, line) for k in known)]
    assert strange == []


def test_no_file_is_left_over(evidence: Evidence) -> None:
    assert [path for path in evidence.left_over if not path.startswith("/dev/shm/jack_db-")] == []
    assert list((evidence.real.folder / "tmp").iterdir()) == []


def _our_texts() -> list[str]:
    """Every sentence of the protocol and the wording, as a pattern with any words for what is filled in."""
    wording = tomllib.loads((TOP / "config" / "wording" / "en-gb.toml").read_text())
    protocol = tomllib.loads(privacy_stage.PROTOCOL)
    texts = [phase["announcement"] for phase in protocol["phase"]] + [protocol["goodbye"]]
    texts += wording["sentences"].values()
    always = (
        "consent.",
        "stop",
        "voices-deleted",
        "microphone.lost.",
    )  # what stands on a screen, a log says once
    texts += [text for key, text in wording["display"].items() if key.startswith(always)]
    return [re.sub(r"\\{\w+\\}", r"[\\w ]+", re.escape(text)) for text in texts]


def _paths(data: dict[str, Any], above: str = "") -> Iterator[str]:
    for name, value in data.items():
        yield above + name
        if isinstance(value, dict):
            yield from _paths(value, f"{above}{name}.")
