"""The command line as a user meets it: output, errors and exit codes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.support import demo_room
from voice_facilitator import __version__
from voice_facilitator.cli.options import event_log
from voice_facilitator.session.events import Forget


def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program in a process of its own, without a terminal."""
    return subprocess.run(
        [sys.executable, "-m", "voice_facilitator", *arguments],
        capture_output=True,
        check=False,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
        env={**os.environ, "COLUMNS": "120", **environment},
    )


def no_sound() -> dict[str, str]:
    """An environment without a sound device; skips on a machine whose hardware is always there."""
    environment = {"PULSE_SERVER": "unix:/nonexistent"}
    if call("devices", **environment).returncode == 0:
        pytest.skip("this machine has sound hardware")
    return environment


def test_version_and_help() -> None:
    assert call("--version").stdout == f"voice-facilitator {__version__}\n"
    assert "demo" in call("--help").stdout


def test_the_shell_completes_names() -> None:
    program = "import sys; sys.argv[0] = 'voice-facilitator'; from voice_facilitator.cli import main; main()"

    def completed(*words: str) -> list[str]:
        asked = {"COMP_WORDS": " ".join(("voice-facilitator", *words)), "COMP_CWORD": str(len(words))}
        environment = {**os.environ, **asked, "_VOICE_FACILITATOR_COMPLETE": "complete_bash"}
        return subprocess.check_output([sys.executable, "-c", program], text=True, env=environment).split()

    assert completed("run", "--protocol", "balint-6") == ["balint-60", "balint-60-de"]
    assert completed("models", "fetch", "vosk-small-en") == ["vosk-small-en-us", "vosk-small-en-gb"]
    assert completed("rehearse", "./mine") == [], "files are the shell's own business"


def test_a_wrong_command_line_ends_with_2() -> None:
    assert call("demi").returncode == 2
    assert call("replay").returncode == 2
    assert call("run").returncode == 2  # no keyboard to begin with
    assert call("run", "--protocol", "balint-46").returncode == 3  # said first: a keyboard would not help


def test_without_a_page_there_has_to_be_a_keyboard() -> None:
    assert call("run", "--no-display").returncode == 2


def test_a_port_that_is_taken_gives_1_and_says_what_to_do(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = call(
            *("run", "--timer-only", "--begin-after", "0", "--port", port), XDG_STATE_HOME=str(tmp_path)
        )
    assert (result.returncode, "display-port" in result.stderr) == (1, True), result.stderr


def test_protocols() -> None:
    listed = json.loads(call("protocols", "list", "--json").stdout)
    minutes = {entry["name"]: entry["minutes"] for entry in listed}
    english = {
        "balint-45": 45,
        "balint-60": 60,
        "balint-90": 90,
        "balint-90-two-cases": 90,
        "balint-plain": 45,
    }
    assert minutes == english | {f"{name}-de": length for name, length in english.items()}
    assert "discussion" in call("protocols", "show", "balint-45").stdout
    assert call("protocols", "check", *minutes).returncode == 0


def test_a_bad_protocol_gives_all_mistakes_and_3(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('based_on = "balint-45"\ntitel = "x"\n[change.storry]\nminutes = 3\n')
    result = call("protocols", "check", str(file), "balint-46")
    assert result.returncode == 3
    assert "Error (protocol): " in result.stderr
    assert "Error (protocol-unknown): " in result.stderr
    assert "line 2" in result.stderr
    assert "line 3" in result.stderr
    assert 'Did you mean "story"?' in result.stderr
    assert "Traceback" not in result.stderr


def test_a_bad_settings_file_gives_3(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("[session]\ngap_second = 2\n[speaking]\nvolume = 7\n")
    result = call("rehearse", "--settings", str(file))
    assert result.returncode == 3
    assert "line 2" in result.stderr
    assert "line 4" in result.stderr


def test_rehearse_prints_every_announcement() -> None:
    lines = json.loads(call("rehearse", "balint-45", "--json").stdout)
    assert lines[0]["phase"] == "welcome"
    assert lines[-1]["at"] == 45 * 60 - 12
    assert all("{" not in line["text"] for line in lines)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "audio-missing"),
        (b"", "audio-empty"),
        (b"this is not a recording", "audio-unreadable"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x00\x00", "audio-unreadable"),
    ],
)
def test_a_bad_audio_file_gives_3(tmp_path: Path, content: bytes | None, code: str) -> None:
    demo_room.needs_encoder()
    file = tmp_path / "room.wav"
    if content is not None:
        file.write_bytes(content)
    result = call("replay", str(file))
    assert result.returncode == 3
    assert code in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_the_event_log_overwrites_nothing_but_an_event_log(tmp_path: Path) -> None:
    demo_room.needs_encoder()
    room, log = tmp_path / "room.wav", tmp_path / "events.jsonl"
    soundfile.write(room, np.zeros(16_000), 16_000)
    script = tmp_path / "script.jsonl"
    script.write_text('{"t": 0.5, "do": "next"}\n')
    raw, blank = tmp_path / "room.raw", tmp_path / "blank.jsonl"
    raw.write_bytes(bytes(20_000) + b"\1" * 20_000)
    blank.write_text("\n" + script.read_text())
    for file in (room, script, raw, blank):
        before = file.read_bytes()
        result = call("replay", str(room), "--script", str(script), "--events", str(file))
        assert (result.returncode, "events-file" in result.stderr) == (3, True), result.stderr
        assert file.read_bytes() == before
    arguments = ("replay", str(room), "--script", str(script), "--events", str(log))
    assert call(*arguments).returncode == 0
    first = log.read_bytes()
    assert first
    for older in (first, first[:20], b"\0\0"):  # the last two as a power cut may leave them
        log.write_bytes(older)
        assert call(*arguments).returncode == 0, "an older log may go"
        assert log.read_bytes() == first


def test_a_session_that_goes_on_adds_to_its_log(tmp_path: Path) -> None:
    log = tmp_path / "events.jsonl"
    for before in ("", '{"t": 1.0, "event": "forgotten"}\n', '{"t": 1.0, "ev'):
        log.write_text(before)
        with event_log(log, goes_on=True) as sinks:
            sinks[0](0.5, Forget(at=0.5, for_good=False))
        lines = log.read_text().splitlines()
        assert lines == [*before.splitlines(), '{"t": 0.5, "event": "forgotten"}']


def test_samples_that_are_not_numbers_give_3(tmp_path: Path) -> None:
    demo_room.needs_encoder()
    samples = np.full(16_000, np.nan, np.float32)
    soundfile.write(tmp_path / "room.wav", samples, 16_000, subtype="FLOAT")
    result = call("replay", str(tmp_path / "room.wav"))
    assert (result.returncode, "audio-not-finite" in result.stderr) == (3, True)


@pytest.mark.slow
def test_no_microphone_gives_4_and_says_what_to_do() -> None:
    demo_room.needs_encoder()
    result = call("run", "--begin-after", "0", **no_sound())
    assert result.returncode == 4
    assert "--timer-only" in result.stderr
    assert call("devices", **no_sound()).returncode == 4
    listed = call("devices", "--json", **no_sound())
    assert (listed.returncode, json.loads(listed.stdout)["error"]["code"]) == (4, "no-microphone")


@pytest.mark.slow
def test_no_speaker_gives_4_where_one_was_asked_for() -> None:
    named = call("run", "--timer-only", "--begin-after", "0", "--speaker", "Jabra", **no_sound())
    assert (named.returncode, "no-speaker" in named.stderr) == (4, True), named.stderr
    spoken = call("rehearse", "--speak", **no_sound())
    assert (spoken.returncode, "no-speaker" in spoken.stderr) == (4, True), spoken.stderr
    assert "says:" not in spoken.stderr


@pytest.mark.slow
def test_timer_only_asks_for_no_microphone_and_for_nothing_by_voice(tmp_path: Path) -> None:
    file = tmp_path / "short.toml"
    file.write_text(
        'title = "Short"\ndescription = ""\nlanguage = "en-gb"\ngoodbye = ""\n'
        '[[phase]]\nname = "all"\ntitle = "All"\nminutes = 0.05\nfloor = "everyone"\n'
        'announcement = "Hello. {listening} {opt_out}"\n'
    )
    arguments = ("run", "--timer-only", "--begin-after", "0", "--no-display", "--protocol", str(file))
    result = call(*arguments, **no_sound(), XDG_STATE_HOME=str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert "There is no microphone" in result.stderr
    assert "says: Hello. I only keep time. I don't listen at all.\n" in result.stderr
    assert "shows: To stop: press P\n" in result.stderr
    assert "commands" not in result.stderr
    assert "x microphone" not in " ".join(result.stderr.split())


@pytest.mark.slow
def test_a_missing_or_damaged_model_gives_5(tmp_path: Path) -> None:
    """In a copy of the program's files without models."""
    import shutil

    import voice_facilitator

    package = Path(voice_facilitator.__file__).parent
    shutil.copytree(package, tmp_path / "voice_facilitator", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(package.parent / "config", tmp_path / "config")
    (tmp_path / "models").mkdir()
    for file in ("manifest.toml", "cohort-campplus.npz", "remark-campplus.npz"):
        shutil.copy(package.parent / "models" / file, tmp_path / "models" / file)
    soundfile.write(tmp_path / "room.wav", np.zeros(16_000), 16_000)

    def replay() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "voice_facilitator", "replay", str(tmp_path / "room.wav")]
        return subprocess.run(command, capture_output=True, check=False, text=True, cwd=tmp_path, timeout=60)

    missing = replay()
    assert (missing.returncode, "model-missing" in missing.stderr) == (5, True), missing.stderr
    assert "install it again" in missing.stderr
    (tmp_path / "models" / "campplus.onnx").write_bytes(b"not a model")
    damaged = replay()
    assert (damaged.returncode, "model-damaged" in damaged.stderr) == (5, True), damaged.stderr
    (tmp_path / "models" / "manifest.toml").write_text('[[model]]\nname = "campplus')
    manifest = replay()
    assert (manifest.returncode, "list of models is damaged" in manifest.stderr) == (5, True), manifest.stderr
    assert "install it again" in manifest.stderr


def test_errors_can_be_had_as_json() -> None:
    result = call("protocols", "show", "balint-46", "--json")
    assert result.returncode == 3
    assert json.loads(result.stdout)["error"]["code"] == "protocol-unknown"


@pytest.mark.slow
def test_doctor_names_what_is_missing() -> None:
    result = call("doctor", "--json", **no_sound())
    findings = {finding["what"]: finding for finding in json.loads(result.stdout)}
    assert findings["microphone"]["health"] == "bad"
    assert findings["microphone"]["hint"]
    assert findings["settings"]["health"] == "good"
    assert result.returncode == 1


def test_doctor_goes_on_after_a_mistake_in_the_settings_and_tries_the_voice_model(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("[hearing]\nhop = 1\n")
    findings = {f["what"]: f for f in json.loads(call("doctor", "--json", "--settings", str(file)).stdout)}
    assert findings["settings"]["health"] == "bad"
    assert "defaults" in findings["settings"]["hint"]
    assert findings["voices"]["health"] == "good"
    file.write_text('[hearing]\nvoice_model = "campluss"\n')
    findings = {f["what"]: f for f in json.loads(call("doctor", "--json", "--settings", str(file)).stdout)}
    assert findings["voices"]["health"] == "bad"
    assert 'Did you mean "campplus"?' in findings["voices"]["hint"]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such terminal")
def test_who_presses_space_without_a_microphone_is_told_what_stands_in_the_way(tmp_path: Path) -> None:
    import pty

    environment = {**os.environ, **no_sound(), "XDG_STATE_HOME": str(tmp_path)}
    keyboard, terminal = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "voice_facilitator", "run", "--setup", "--no-browser"],
        stdin=terminal,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as program:
        assert program.stderr is not None
        told = iter(program.stderr.readline, "")
        assert next((line for line in told if "press the space bar" in line), "")
        answered = threading.Event()

        def press_again() -> None:  # what is typed while the keyboard is being set up is lost
            while not answered.wait(0.5):
                os.write(keyboard, b" ")

        fingers = threading.Thread(target=press_again)
        fingers.start()
        assert next((line for line in told if "There is no microphone" in line), "")
        answered.set()
        fingers.join()
        program.send_signal(signal.SIGINT)
    os.close(keyboard)
    os.close(terminal)
    assert program.returncode == 130


def test_doctor_tries_the_voice_of_the_protocols_language() -> None:
    german = {f["what"]: f for f in json.loads(call("doctor", "--json", "-p", "balint-45-de").stdout)}
    if german["speech"]["health"] == "bad":
        pytest.skip("this machine has no German voice")
    assert "German" in german["speech"]["text"]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_letters_that_the_output_lacks_are_replaced(encoding: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    for command in (
        ["protocols", "list"],
        ["rehearse", "balint-45-de"],
        ["rehearse", "balint-45-de", "--json"],
    ):
        result = subprocess.run(
            [sys.executable, "-m", "voice_facilitator", *command],
            check=False,
            capture_output=True,
            timeout=60,
            env=environment,
        )
        assert (result.returncode, result.stderr) == (0, b"")
        if command[-1] == "--json":
            assert "für" in str(json.loads(result.stdout.decode(encoding))), "data is escaped, not replaced"


def test_the_reader_of_our_output_may_leave() -> None:
    command = f"{sys.executable} -m voice_facilitator rehearse balint-90-two-cases | head -1"
    result = subprocess.run(["bash", "-c", command], check=False, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in result.stderr
