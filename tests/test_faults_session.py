"""What a group hears of faults: at most one sentence for each, and one when it is over."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.support.plays import play, timeline
from voice_facilitator import models
from voice_facilitator.app.faultlog import FaultLog, last_session, read
from voice_facilitator.display import frame
from voice_facilitator.files import protocols
from voice_facilitator.machine import resources
from voice_facilitator.session import events as ev
from voice_facilitator.tools import doctor, privacy_check


def test_what_mends_itself_at_once_is_shown_and_not_said() -> None:
    heard = play("0 begin\n 390 silence\n 400 lost hearing\n 404 recovered hearing\n 405 silence", until=500)
    assert heard.only("say", "chime", after=330) == []
    assert len(heard.only("show", after=399, before=405)) == 2


def test_a_pause_at_the_end_of_the_waiting_is_waited_for() -> None:
    """It neither is a gap yet, in which it could be said, nor does anybody speak, so that it would chime."""
    lost = "0 begin\n 390 other\n 400 lost voice-model\n"
    assert play(f"{lost} 414 silence", until=430).only("say", "chime", after=399) == [
        "415.8 say lost.voice-model"
    ]
    talks_on = play(f"{lost} 414 silence\n 415.3 other", until=430)
    assert talks_on.only("say", "chime", after=399) == ["415.3 chime lost.voice-model"]


def test_a_microphone_that_takes_the_hearing_with_it_is_one_fault() -> None:
    heard = play(
        """
        0   begin
        390 silence
        400 lost microphone
        402 lost hearing
        420 recovered hearing
        422 recovered microphone
        423 silence
    """,
        until=500,
    )
    assert heard.only("say", "chime", after=330) == ["405 say lost.microphone", "424.8 say back.microphone"]


def test_a_sound_server_that_dies_is_told_once_when_it_is_over() -> None:
    """Microphone and speaker go together: the first sentence cannot be heard, so only one remains to say."""
    before = play("0 begin\n 390 silence\n 400 lost microphone", until=406, voice_seconds=None)
    (number,) = [
        e.number for e in before.effects if isinstance(e, ev.Announce) and e.key == "lost.microphone"
    ]
    timeline = [
        (406.0, ev.AnnouncementFinished(number, ev.Outcome.FAILED)),
        (406.0, ev.PartLost(ev.Part.SPEAKER)),
        (430.0, ev.PartBack(ev.Part.SPEAKER)),
        (431.0, ev.PartBack(ev.Part.MICROPHONE)),
        (434.0, ev.SpeakerChanged(ev.SpeakerState.SILENCE)),
    ]
    after = play(timeline, until=500, going=before.session)
    assert after.only("say", "chime") == ["430 say back.speaker"]


@pytest.mark.parametrize("part", [part.value for part in ev.Part])
def test_every_part_has_its_two_sentences(part: str) -> None:
    talk = "398 other\n 399 silence\n 459 other\n 461 silence\n"
    heard = play(f"0 begin\n 390 silence\n {talk} 400 lost {part}\n 460 recovered {part}", until=500)
    assert len(heard.only("say", "chime", after=399, before=460)) == (0 if part == "speaker" else 1)
    assert len(heard.only("say", "chime", after=460)) == 1
    assert heard.session.view().faults == 1


def test_what_the_parts_have_counted_is_there_for_the_display() -> None:
    heard = play([(0.0, ev.HealthChanged(2, 3, 0.5))], until=1)
    view = heard.session.view()
    assert (view.restarts, view.dropped, view.missed_seconds) == (2, 3, 0.5)
    assert frame.trouble(view) == [("restarts", 2), ("dropped", 3)]


@pytest.mark.skipif(sys.platform != "linux", reason="the state folder is moved as on Linux")
def test_a_report_tells_what_failed_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    log = FaultLog()
    heard = play("0 begin\n 390 silence\n 400 lost microphone\n 450 recovered microphone", until=500)
    for effect in heard.effects:
        log(400.0, effect)
    log(401.0, ev.HealthChanged(2, 3, 0.5))
    log.error(402.0, "no-microphone", 1)
    log.close()
    found = doctor.Finding("models", doctor.Health.GOOD, f"in {tmp_path}")
    top, below = doctor.report([found]).split("\n\nFault log")
    assert top == "good  models: in ~"
    log_of_it, _, _ = below.partition("\n\n")
    lines = [json.loads(line) for line in log_of_it.splitlines()[1:]]
    assert [line["what"] for line in lines] == ["session", "part", "part", "counted", "error"]
    assert lines[1] == {"what": "part", "t": 400.0, "part": "microphone", "lost": True}
    assert lines[3]["restarts"] == 2


@pytest.mark.parametrize(
    "its_settings",
    [
        "[session]\nsupport_contacts = 'Dr Jane Doe'\nundo_seconds = 'Jane'\n",
        "[session]\nprotocol = 'Dr Jane Doe.toml'\nsupport_contacts = ['Jane']\n",
        "[session]\nsupport_contacts = ['Jane']\n",
    ],
)
def test_a_report_names_no_folder_and_repeats_nothing_of_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, its_settings: str
) -> None:
    folder = tmp_path / "Jane's group"
    folder.mkdir()
    monkeypatch.setattr(models.manifest, "models_folder", lambda: folder)
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    entry = models.load_manifest().default_encoder()
    monkeypatch.setattr(type(entry), "is_shipped", property(lambda _entry: False))
    (folder / entry.file).write_bytes(entry.path(resources.shipped("models")).read_bytes())
    own = folder / "Jane's settings.toml"
    own.write_text(its_settings.replace("Dr Jane Doe.toml", str(folder / "Dr Jane Doe.toml")))
    findings = [*doctor.examine(own), *privacy_check.examine()]
    assert "Jane" in "".join(finding.text for finding in findings), "for the user's own eyes"
    report = doctor.report(findings)
    assert "Jane" not in report
    assert str(tmp_path) not in report
    assert "settings" in report


def test_doctor_counts_for_how_long_the_room_was_not_heard(tmp_path: Path) -> None:
    log = FaultLog(tmp_path / "faults.jsonl")
    lines = "400 lost microphone\n 410 lost hearing\n 450 recovered microphone\n 460 recovered hearing"
    for effect in play(f"0 begin\n {lines}\n 480 lost microphone", until=500).effects:
        log(effect.at, effect)
    log(490.0, ev.HealthChanged(0, 0, 1.5))
    log(500.0, ev.Ended(500.0, "stopped"))
    log.close()
    last = last_session(read(tmp_path / "faults.jsonl"))
    assert last is not None
    assert last["missed_seconds"] == pytest.approx(60 + 20 + 1.5)


def test_why_the_microphone_is_lost_is_shown_until_it_is_back() -> None:
    """Said once, and in general; the reason is for those who can do something, and may change."""
    muted, gone = ev.MicrophoneFault.MUTED, ev.MicrophoneFault.GONE
    lost = [
        (400.0, ev.PartLost(ev.Part.MICROPHONE, gone)),
        (403.0, ev.PartLost(ev.Part.MICROPHONE, muted)),
        (404.0, ev.PartLost(ev.Part.MICROPHONE, muted)),
    ]
    heard = play([*timeline("0 begin\n 390 silence"), *lost], until=410)
    reasons = [effect.reason for effect in heard.effects if isinstance(effect, ev.Degraded)]
    assert reasons == [gone, muted], "each reason once"
    assert heard.only("say", after=399) == ["405 say lost.microphone"]
    assert frame.microphone_text(heard.session.view()) == "microphone.lost.muted"
    back = (420.0, ev.PartBack(ev.Part.MICROPHONE))
    over = play([*timeline("0 begin\n 390 silence"), *lost, back], until=430)
    assert over.session.view().microphone_fault is None


def test_what_this_computer_does_not_enforce_is_shown_once() -> None:
    told = [(5.0, ev.SafeguardsMissing()), (9.0, ev.SafeguardsMissing())]
    heard = play([*timeline("0 begin"), *told], until=20)
    assert len([e for e in heard.effects if isinstance(e, ev.ShowLine) and "doctor --privacy" in e.text]) == 1


def test_every_reason_has_words_in_every_language() -> None:
    for language in ("en-gb", "de"):
        texts = protocols.load_phrases(language)
        hints = {texts[f"microphone.lost.{reason.value}"] for reason in ev.MicrophoneFault}
        assert len(hints) == len(ev.MicrophoneFault)
