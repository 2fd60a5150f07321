"""What the hearing process cannot do, tried out in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from voice_facilitator.privacy.memory import wiping_allocator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Landlock and seccomp are Linux")

# Tries everything once and prints what happened: the name of the error, or "worked".
_TRIES = """
import errno, json, os, resource, socket, subprocess, sys, threading
from voice_facilitator.hearing.sound.activity import VoiceActivity
from voice_facilitator.privacy import confinement, memory

old, new, kind = sys.argv[1:]
confinement.harden()
in_force = confinement.confine(sound_server=kind == "microphone")
tried = {}

def attempt(name, do):
    try:
        do()
        tried[name] = "worked"
    except OSError as error:
        tried[name] = errno.errorcode[error.errno]

attempt("read", lambda: open(old).read())
attempt("overwrite", lambda: open(old, "r+"))
attempt("append", lambda: open(old, "a"))
attempt("create", lambda: open(new, "w"))
attempt("folder", lambda: os.mkdir(new))
attempt("rename", lambda: os.rename(old, new))
attempt("remove", lambda: os.unlink(old))
attempt("permissions", lambda: os.chmod(old, 0o640))
attempt("owner", lambda: os.chown(old, os.getuid(), os.getgid()))
attempt("times", lambda: os.utime(old, (1, 1)))
attempt("attributes", lambda: os.setxattr(old, "user.said", b"x"))

def system_call(number, *arguments):
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")

import platform
calls = {"x86_64": (68, 248), "aarch64": (186, 217)}.get(platform.machine())
if calls:
    attempt("message queue", lambda: system_call(calls[0], 0, 0o1600))
    attempt("keyring", lambda: system_call(calls[1], b"user", b"said", b"x", 1, -2))
attempt("shared memory", lambda: os.open("/dev/shm/voice-facilitator-test", os.O_CREAT | os.O_RDWR))
attempt("internet", lambda: socket.socket())
attempt("internet 6", lambda: socket.socket(socket.AF_INET6))
attempt("packets", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW))
attempt("local", lambda: socket.socket(socket.AF_UNIX))
attempt("program", lambda: subprocess.run(["true"]))
thread = threading.Thread(target=lambda: attempt("create in a thread", lambda: open(new, "w")))
thread.start()
thread.join()
wipes = memory.freed_memory_is_overwritten()
with memory.loading_models():
    while_loading = memory.freed_memory_is_overwritten()
    VoiceActivity()
print(json.dumps({
    "in force": {name: getattr(in_force, name) for name in in_force.__dataclass_fields__},
    "tried": tried,
    "core": resource.getrlimit(resource.RLIMIT_CORE),
    "wipes": wipes,
    "wipes while models are loaded": while_loading,
    "wipes after it": memory.freed_memory_is_overwritten(),
}))
"""


def attempts(folder: Path, kind: str) -> dict[str, Any]:
    old = folder / "old"
    old.write_text("here before")
    environment = dict(os.environ)
    environment |= wiping_allocator(environment)
    result = subprocess.run(
        [sys.executable, "-c", _TRIES, str(old), str(folder / "new"), kind],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=environment,
    )
    assert old.read_text() == "here before"
    assert {path.name for path in folder.iterdir()} == {"old"}
    found: dict[str, Any] = json.loads(result.stdout)
    if not all(v for k, v in found["in force"].items() if k != "no_sockets"):
        pytest.skip(f"this system has not all the means: {found['in force']}")
    return found


def test_it_reads_and_does_nothing_else(tmp_path: Path) -> None:
    found = attempts(tmp_path, "file")
    assert found["in force"]["no_sockets"]
    assert found["tried"].pop("read") == "worked"
    assert set(found["tried"].values()) == {"EACCES"}
    assert found["core"] == [0, 0]


def test_with_a_microphone_it_may_reach_the_sound_server_and_nothing_else(tmp_path: Path) -> None:
    found = attempts(tmp_path, "microphone")
    assert not found["in force"]["no_sockets"]
    assert {name for name, result in found["tried"].items() if result == "worked"} == {"read", "local"}


def test_freed_memory_is_overwritten(tmp_path: Path) -> None:
    if not wiping_allocator({}):
        pytest.skip("this system has no allocator that overwrites")
    found = attempts(tmp_path, "file")
    assert found["wipes"]
    assert not found["wipes while models are loaded"]
    assert found["wipes after it"]
    environment = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    code = "from voice_facilitator.privacy import memory; print(memory.freed_memory_is_overwritten())"
    plain = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=environment | {"PYTHONMALLOC": "malloc"},
    )
    assert plain.stdout.strip() == "False", "the check must be able to fail"


def test_a_users_own_tunables_are_kept() -> None:
    found = wiping_allocator({"GLIBC_TUNABLES": "glibc.malloc.arena_max=1"})
    if found:
        assert found["GLIBC_TUNABLES"].startswith("glibc.malloc.arena_max=1:")


def doctor(**environment: str) -> dict[str, dict[str, str]]:
    """What `voice-facilitator doctor --privacy` finds, by what it is about."""
    result = subprocess.run(
        [sys.executable, "-m", "voice_facilitator", "doctor", "--privacy", "--json"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env=os.environ | environment,
    )
    return {finding["what"]: finding for finding in json.loads(result.stdout)}


def test_doctor_says_what_is_in_force_and_where_the_means_are_missing_that_they_are(tmp_path: Path) -> None:
    attempts(tmp_path, "microphone")  # skips where the system has not all the means
    tried = ("network", "files", "programs", "crashes", "forgetting", "freed memory", "announcements")
    found = doctor()
    assert {found[what]["health"] for what in tried} == {"good"}
    for library in ("py_landlock", "pyseccomp"):
        (tmp_path / f"{library}.py").write_text("raise ImportError")
    without = doctor(PYTHONPATH=str(tmp_path))
    for what in ("network", "files", "programs"):
        assert without[what]["health"] == "note"
        assert without[what]["hint"]
    assert not any(Path("/dev/shm").glob("voice-facilitator-selftest*")), "nothing of the trying stays"
