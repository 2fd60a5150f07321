"""What the hearing process may do: not write, not call out, not be looked into. The system holds it to that.

Linux only, by two libraries: Landlock (files, by path) and seccomp (system calls). Where one of them is
missing the process goes on without, and `Confinement` says so: `voice-facilitator doctor` passes it on.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PR_GET_DUMPABLE, _PR_SET_DUMPABLE = 3, 4
_AF_UNIX = 1
_O_CREAT = 0o100
# Devices, not files: what a sound card without a sound server is opened through, and what libraries throw
# things away into.
_WRITABLE = ("/dev/snd", "/dev/null")

# A second lock beside Landlock, for kernels that lack it: no new file can be made in any folder. open and
# openat are looked at more closely; openat2 cannot be, and "not implemented" makes libraries use openat.
# mkdir is not here. libpulse begins every connection by making the folder of its socket and reads EEXIST as
# "it is there"; a filter cannot see whether it is, so it would have to answer wrongly (with EACCES libpulse
# gives up, with EEXIST it looks for a free name for ever). Landlock refuses new folders and keeps EEXIST.
_MAKING = (
    "creat",
    "mknod",
    "mknodat",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "rename",
    "renameat",
    "renameat2",
    "truncate",
)
# Nobody can call us, no other program is started or looked into, and no way leads round the filter.
_NEVER = (
    "bind",
    "listen",
    "accept",
    "accept4",
    "execve",
    "execveat",
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "pidfd_getfd",
)
# What could carry something out in a file's permissions, times or attributes, in the kernel's keyrings or in
# message queues, and what nothing here needs. System V's shared memory is not in this list: ALSA shares a
# microphone through it where there is no sound server.
_NOT_NEEDED = (
    *("chmod", "fchmodat", "fchmodat2", "chown", "lchown", "fchownat"),
    *("utime", "utimes", "utimensat", "futimesat"),
    *("setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr"),
    *("add_key", "request_key", "keyctl", "msgget", "msgsnd", "msgrcv", "msgctl", "mq_open"),
)
_NOT_THERE = ("openat2", "io_uring_setup", "io_uring_enter", "io_uring_register")


@dataclass(frozen=True, slots=True)
class Confinement:
    """What is in force in this process, for good."""

    no_core_dumps: bool
    not_dumpable: bool
    no_network: bool  # seccomp: sockets of this computer's sound server at most
    no_sockets: bool  # seccomp: not even those
    no_writing: bool  # Landlock: no file can be written
    no_new_files: bool  # seccomp: no file can be made

    @property
    def lacking(self) -> tuple[str, ...]:
        """What this system does not hold the process to, though it is promised."""
        promised = {
            "no network": self.no_network,
            "no writing of files": self.no_writing,
            "no core dumps": self.no_core_dumps,
            "closed to other programs": self.not_dumpable,
        }
        return tuple(promise for promise, kept in promised.items() if not kept)


def harden() -> None:
    """No core dumps; no other program of this user may look into this process. For every process of ours."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource  # noqa: PLC0415  # not on Windows

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _, most = resource.getrlimit(resource.RLIMIT_MEMLOCK)
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (most, most))
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def confine(*, sound_server: bool) -> Confinement:
    """Give up writing and calling out, for good, in this thread and all that it starts.

    Call it first thing, with one thread: Landlock binds the calling one. sound_server: sockets to programs
    on this computer must stay possible, because that is how the microphone is reached, and reached again
    after a loss. Libraries have to be loaded before, since no program can be started after
    (`ctypes.util.find_library` starts some).
    """
    seccomp = _library(
        "pyseccomp"
    )  # it starts a program to find its own library: first, while that is allowed
    no_writing = _landlock(_library("py_landlock"))
    filtered = _seccomp(seccomp, sound_server=sound_server)
    return Confinement(
        no_core_dumps=_no_core_dumps(),
        not_dumpable=_not_dumpable(),
        no_network=filtered,
        no_sockets=filtered and not sound_server,
        no_writing=no_writing,
        no_new_files=filtered or no_writing,
    )


def _library(name: str) -> Any:
    """None where it is not installed, or lacks what it needs."""
    if sys.platform != "linux":
        return None
    try:
        return importlib.import_module(name)
    except Exception:  # noqa: BLE001  # ImportError, and RuntimeError where libseccomp is missing
        return None


def _landlock(landlock: Any) -> bool:
    if landlock is None:
        return False
    try:
        access = landlock.AccessFs
        rules = landlock.Landlock(strict=False).allow_read("/")
        for path in _WRITABLE:
            if Path(path).exists():
                device = access.READ_FILE | access.WRITE_FILE | access.IOCTL_DEV
                more = access.READ_DIR if Path(path).is_dir() else access(0)
                rules.add_path_rule(path, access=device | more)
        rules.apply()
    except Exception:  # noqa: BLE001  # kernel too old, switched off: it is said, not hidden
        return False
    return True


def _seccomp(seccomp: Any, *, sound_server: bool) -> bool:
    if seccomp is None:
        return False
    try:
        rules = seccomp.SyscallFilter(seccomp.ALLOW)
        rules.set_attr(seccomp.Attr.CTL_TSYNC, 1)
        refused = seccomp.ERRNO(errno.EACCES)
        if sound_server:
            rules.add_rule(refused, "socket", seccomp.Arg(0, seccomp.NE, _AF_UNIX))
        else:
            rules.add_rule(refused, "socket")
        for call, argument in (("open", 1), ("openat", 2)):
            creating = seccomp.Arg(argument, seccomp.MASKED_EQ, _O_CREAT, _O_CREAT)
            _add(rules, refused, call, creating)
        for call in (*_MAKING, *_NEVER, *_NOT_NEEDED):
            _add(rules, refused, call)
        for call in _NOT_THERE:
            _add(rules, seccomp.ERRNO(errno.ENOSYS), call)
        rules.load()
    except Exception:  # noqa: BLE001  # the kernel refuses: it is said, not hidden
        return False
    return True


def _add(rules: Any, action: int, call: str, *arguments: Any) -> None:
    """Some calls do not exist on every processor, or are newer than this machine's library."""
    with contextlib.suppress(OSError, ValueError):
        rules.add_rule(action, call, *arguments)


def _no_core_dumps() -> bool:
    try:
        import resource  # noqa: PLC0415  # not on Windows
    except ImportError:
        return False
    return resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)


def _not_dumpable() -> bool:
    if sys.platform != "linux":
        return False
    try:
        return bool(ctypes.CDLL(None).prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False
