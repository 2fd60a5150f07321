"""Scenes of a session as timelines. Times of `balint-45` when nothing disturbs it:

welcome 0, check-in 60, case 180, story 300, questions 660, discussion 960, last word 2280, close 2520,
goodbye 2688, end 2700.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.plays import (
    Heard,
    conversation,
    event,
    play,
    protocol,
    session,
    shipped_policy,
    timeline,
    wording,
)
from voice_facilitator.files import protocols
from voice_facilitator.session import Policy, Session
from voice_facilitator.session import events as ev
from voice_facilitator.session.protocol import CueKind, Elasticity

MINUTES = {  # welcome with check-in, case, story, questions, discussion, last word, breather, close
    "balint-45": (3, 2, 6, 5, 22, 4, 0, 3),
    "balint-60": (4, 3, 8, 6, 29, 6, 0, 4),
    "balint-90": (5, 4, 12, 10, 44, 7, 0, 8),
    "balint-90-two-cases": (5, 4, 12, 8, 44, 8, 3, 6),
}
PRESENTER_TALKS_ON = """
    1000 presenter
    1003 evidence 1.2 3
    1010 evidence 2.4 9
"""


def in_discussion(text: str, *, until: float, ready: bool = True, policy: Policy | None = None) -> Heard:
    """A play that begins with a quiet room in the discussion, at 960 s, the presenter's voice being known."""
    start = [
        (0.0, event("begin")),
        (0.0, event("other")),
        (300.0, event("phase story")),
        (302.0, event("silence")),
        (659.0, event("silence")),
        (950.0, event("enrolment ready" if ready else "enrolment learning")),
        (960.0, event("phase discussion")),
        (960.0, event("silence")),
        (965.0, event("other")),
    ]
    return play([*start, *timeline(text)], until=until, policy=policy)


# ------------------------------------------------------------ whole sessions


@pytest.mark.parametrize("name", MINUTES)
def test_the_minutes_of_the_shipped_protocols(name: str) -> None:
    lengths: dict[str, float] = {}
    for phase in protocol(name).phases:
        key = phase.name.removesuffix("-2")
        lengths[key] = lengths.get(key, 0) + phase.seconds / 60
    names = ("case", "story", "questions", "discussion", "last-word", "breather", "close")
    found = (lengths["welcome"] + lengths["check-in"], *(lengths.get(n, 0) for n in names))
    assert found == MINUTES[name]
    assert protocol(name).seconds / 60 == int(name.split("-")[1])


def test_the_plain_protocol_has_no_questions_and_nobody_sits_back() -> None:
    plain = protocol("balint-plain")
    assert plain.seconds == 45 * 60
    assert plain.index("questions") is None
    assert not any(phase.reminders or phase.enrols_presenter for phase in plain.phases)


@pytest.mark.parametrize("name", [*MINUTES, "balint-plain"])
def test_a_talking_group_gets_to_the_end_on_time(name: str) -> None:
    chosen = protocol(name)
    heard = play(
        [(0.0, event("begin")), *conversation(0, chosen.seconds)], until=chosen.seconds + 60, name=name
    )
    entered = [effect for effect in heard.effects if isinstance(effect, ev.PhaseEntered)]
    assert [effect.name for effect in entered] == [phase.name for phase in chosen.phases]
    planned = 0.0
    for effect, phase in zip(entered, chosen.phases, strict=True):
        assert planned - 0.01 <= effect.at <= planned + 30, effect
        if phase.elasticity is not Elasticity.FLEXIBLE and phase.name != "close":  # gives what came after
            assert effect.planned_seconds == pytest.approx(phase.seconds, abs=0.01)
        planned = effect.at + effect.planned_seconds
    assert heard.only("forget", "ended")[-1].endswith("ended planned")
    assert chosen.seconds - 20 <= heard.effects[-1].at <= chosen.seconds


@pytest.mark.parametrize("name", [*MINUTES, "balint-plain"])
def test_without_hearing_a_session_runs_to_the_second(name: str) -> None:
    chosen = protocol(name)
    heard = play("0 begin", until=chosen.seconds + 60, name=name)
    at = 0.0
    for effect, phase in zip(
        [e for e in heard.effects if isinstance(e, ev.PhaseEntered)], chosen.phases, strict=True
    ):
        assert (effect.at, effect.planned_seconds) == pytest.approx((at, phase.seconds))
        at += phase.seconds
    assert heard.only("ended") == [f"{chosen.seconds - 12 + 3:g} ended planned"]


def test_a_mouth_that_never_answers_does_not_stop_the_session() -> None:
    heard = play("0 begin", until=2800, voice_seconds=None)
    assert len(heard.only("phase")) == 8
    assert heard.only("ended")[0].endswith("ended planned")


def test_the_close_says_where_the_support_contacts_are_and_reads_none_out() -> None:
    contacts = ("Occupational health, extension 4310", "Chaplaincy")
    heard = play("0 begin", until=2700, contacts=contacts)
    (close,) = heard.texts("close.start")
    assert "on the screen" in close
    said = "".join(e.text for e in heard.effects if isinstance(e, ev.Announce | ev.ShowLine))
    assert "4310" not in said
    assert "{" not in said
    (without,) = play("0 begin", until=2700).texts("close.start")
    assert "on the screen" not in without


# ------------------------------------------------------------ gaps and graces


def test_a_phase_ends_in_the_first_gap_after_its_time() -> None:
    heard = play("0 begin\n 0 silence\n 50 other\n 60 silence", until=70)
    assert heard.only("phase", "say", "chime", after=50) == ["61.8 phase check-in", "61.8 say check-in.start"]


def test_a_pause_shorter_than_the_gap_is_not_spoken_into() -> None:
    heard = play(
        """
        0    begin
        0    silence
        50   other
        60.5 silence
        62.2 other      # 1.7 s later
        64   silence
    """,
        until=70,
    )
    assert heard.only("phase", "say", after=50) == ["65.8 phase check-in", "65.8 say check-in.start"]


@pytest.mark.parametrize(
    ("phase", "ends", "grace", "following"),
    [("story", 660, 30, "questions"), ("discussion", 2280, 60, "last-word")],
)
def test_after_the_grace_the_change_is_chimed_and_said_in_the_next_gap(
    phase: str, ends: int, grace: int, following: str
) -> None:
    heard = play(
        f"""
        0    begin
        {ends - 20} other
        {ends + grace + 100} silence
    """,
        until=ends + grace + 110,
    )
    changed, said = ends + grace, ends + grace + 100 + 1.8
    assert heard.only("phase", "say", "chime", after=ends - 15) == [
        f"{changed} phase {following}",
        f"{changed} chime {following}.start",
        f"{said:g} say {following}.start",
    ]
    announced = [e for e in heard.effects if isinstance(e, ev.Announce) and e.key == f"{following}.start"]
    assert [e.chime for e in announced] == [True, False]  # not chimed a second time


def test_the_goodbye_waits_15_seconds_and_is_said_before_the_end() -> None:
    heard = play("0 begin\n 2600 other\n 2706 silence", until=2800)
    assert heard.only("chime", "say", "ended", after=2600) == [
        "2703 chime goodbye",
        "2707.8 say goodbye",
        "2710.8 ended planned",
    ]


def test_somebody_who_never_stops_is_not_spoken_over_and_the_session_still_ends() -> None:
    heard = play("0 begin\n 100 other", until=2800)
    assert not heard.only("say", after=100)
    assert heard.only("ended") == ["2715 ended planned"]
    assert heard.only("phase", after=2200) == ["2340 phase last-word", "2610 phase close"]


def test_words_that_come_late_name_the_minutes_that_are_left() -> None:
    heard = play("0 begin\n 600 other\n 810 silence", until=815)
    (text,) = heard.texts("questions.start")
    assert "You have 3 minutes for questions of fact" in text


def test_no_minutes_are_said_in_the_discussion_and_nothing_chimes_before_its_end() -> None:
    for name in protocols.names():
        for phase in protocols.load(name).phases:
            if phase.holds_silence:
                assert "{minutes}" not in phase.announcement
                assert {cue.kind for cue in phase.cues} == {CueKind.SCREEN}


def test_a_change_due_while_we_speak_waits_until_we_have_finished() -> None:
    heard = play("0 begin\n 59 other\n 69 silence\n 69.5 self", until=80, voice_seconds=12)
    assert heard.only("say", "chime") == ["0 say welcome.start", "70 chime check-in.start"]
    heard = play("0 begin\n 0 self", until=100, voice_seconds=75)  # a long welcome, and its phase is over
    assert heard.only("phase", "say", "chime", after=1) == ["70 phase check-in", "75 chime check-in.start"]


# ------------------------------------------------------------ silence


def chiming() -> Session:
    """A format of one's own, whose discussion chimes two minutes before its end."""
    usual = protocol("balint-45")
    phases = tuple(
        replace(phase, cues=tuple(replace(cue, kind=CueKind.CHIME) for cue in phase.cues[1:]))
        if phase.name == "discussion"
        else phase
        for phase in usual.phases
    )
    return Session(replace(usual, phases=phases), wording(), shipped_policy())


def test_a_cue_is_not_given_into_a_held_silence() -> None:
    heard = play("0 begin\n 1900 other\n 2150 silence", until=2279, going=chiming())
    assert heard.only("show", "say", "chime", after=2100) == ["2160 show 2 minutes left for the discussion."]


def test_a_cue_is_given_in_a_gap_between_two_turns() -> None:
    heard = play("0 begin\n 1900 other\n 2165 silence\n 2168 other", until=2279, going=chiming())
    assert heard.only("show", "say", "chime", after=2100) == [
        "2160 show 2 minutes left for the discussion.",
        "2166.8 chime discussion.cue-1",
    ]


def test_the_end_of_the_discussion_waits_out_a_held_silence() -> None:
    heard = play("0 begin\n 1900 other\n 2250 silence", until=2345)
    assert heard.only("phase", "say", "chime", after=2250) == [
        "2340 phase last-word",
        "2340 say last-word.start",
    ]


def test_a_held_silence_that_is_broken_gives_way_to_the_next_gap() -> None:
    heard = play("0 begin\n 1900 other\n 2250 silence\n 2290 other\n 2300 silence", until=2345)
    assert heard.only("phase", "say", "chime", after=2250) == [
        "2301.8 phase last-word",
        "2301.8 say last-word.start",
    ]


def test_nothing_is_ever_said_because_of_silence() -> None:
    heard = play("0 begin\n 0 silence\n 970 other\n 1000 silence", until=2159)
    assert heard.only("say", "chime", after=1000) == []


# ------------------------------------------------------------ the plan


def test_an_overrun_of_the_story_is_taken_from_the_discussion() -> None:
    heard = play("0 begin\n 600 other\n 680 silence\n 700 other", until=2800)
    phases = {e.name: e.planned_seconds for e in heard.effects if isinstance(e, ev.PhaseEntered)}
    assert heard.only("phase", after=600, before=700) == ["681.8 phase questions"]
    assert phases["questions"] == 300
    assert phases["last-word"] == 240
    assert phases["discussion"] == pytest.approx(22 * 60 - 21.8 - 30)  # the questions overran as well
    assert heard.only("plan", after=681, before=682) == ["681.8 plan 2700"]
    assert heard.only("ended")[0].endswith("ended planned")


def test_going_on_early_gives_the_time_to_the_discussion() -> None:
    heard = play("0 begin\n 400 next", until=960)
    assert heard.plan()["discussion"] == 22 * 60 + 260
    assert heard.only("plan") == ["400 plan 2700"]


def test_leaving_the_discussion_early_ends_the_session_early() -> None:
    heard = play("0 begin\n 2000 next", until=2800)
    assert heard.plan() == {"last-word": 240, "close": 180}
    assert heard.only("ended") == ["2411 ended planned"]


@pytest.mark.parametrize(
    ("asked", "discussion"), [("more-time", 1200), ("less-time", 1440), ("more-time 60", 1260)]
)
def test_time_added_to_the_story_comes_from_the_discussion(asked: str, discussion: float) -> None:
    heard = play(f"0 begin\n 400 {asked}", until=500)
    assert heard.plan()["discussion"] == discussion
    assert heard.only("plan") == ["400 plan 2700"]


def test_time_added_to_the_discussion_moves_the_end() -> None:
    assert play("0 begin\n 1000 more-time", until=1001).only("plan") == ["1000 plan 2820"]
    assert play("0 begin\n 1000 less-time", until=1001).only("plan") == ["1000 plan 2580"]


def test_two_more_minutes_in_an_overrun_count_from_now() -> None:
    heard = play("0 begin\n 600 other\n 680 more-time", until=681)
    assert heard.plan()["story"] == 120
    assert heard.plan()["last-word"] == 240


def test_trimming_more_than_is_left_ends_the_phase() -> None:
    heard = play("0 begin\n 600 less-time 3600", until=601)
    assert heard.only("phase", after=600) == ["600 phase questions"]


def test_an_absurd_extension_is_limited_to_an_hour() -> None:
    heard = play("0 begin\n 1000 more-time 1e300", until=1001)
    assert heard.only("plan") == ["1000 plan 6300"]


def test_skip_repeat_back_and_phase_by_name() -> None:
    heard = play(
        """
        0    begin
        10   next
        20   next
        30   next
        40   repeat
        50   back
        60   phase discussion
        70   phase nowhere
        80   phase welcome
        90   back
    """,
        until=100,
    )
    assert heard.only("phase", "refused") == [
        "0 phase welcome",
        "10 phase check-in",
        "20 phase case",
        "30 phase story",
        "40 phase story",
        "50 phase case",
        "60 phase discussion",
        "70 refused phase",
        "80 phase welcome",
        "90 refused back",
    ]
    assert heard.session.view().session_left == pytest.approx(2600)


def test_a_session_may_begin_with_any_phase() -> None:
    heard = play("0 phase discussion", until=1)
    assert heard.only("phase") == ["0 phase discussion"]
    assert heard.session.view().session_left == pytest.approx((22 + 4 + 3) * 60 - 1)


def test_a_cue_skipped_by_trimming_comes_in_its_place_when_time_is_added_again() -> None:
    heard = play("0 begin\n 560 less-time 70\n 565 more-time 120", until=700)
    cue = "show 1 minute left for the story."
    assert [text for text in heard.only("show") if cue in text] == [f"650 {cue}"]


# ------------------------------------------------------------ pause


def test_a_pause_is_paid_by_the_discussion() -> None:
    heard = play("0 begin\n 400 pause\n 598 resume\n 600 yes", until=700)
    assert heard.plan()["story"] == 260
    assert heard.plan()["discussion"] == 22 * 60 - 200
    assert heard.only("plan") == ["600 plan 2700"]


def test_in_a_pause_nothing_happens_by_itself() -> None:
    heard = play(
        """
        0    begin
        0    silence
        1000 enrolment ready
        1010 pause
        1030 presenter
        1040 evidence 3 30
        1050 lost voice-model
    """,
        until=9000,
    )
    after = heard.only("phase", "say", "chime", "reminder", "listen", "ended", after=1010)
    assert after == ["1010 listen", "1010 say paused"]
    assert heard.session.view().mode == "paused"


def test_a_second_pause_is_refused_and_so_is_resuming_without_one() -> None:
    heard = play("0 begin\n 5 resume\n 10 pause\n 20 pause\n 25 next\n 30 resume", until=40)
    assert heard.only("refused") == ["5 refused resume", "20 refused pause", "25 refused next"]


@pytest.mark.parametrize("answer", ["yes", "resume"])
def test_before_a_pause_ends_the_group_is_asked(answer: str) -> None:
    heard = play(f"0 begin\n 0 silence\n 1000 pause\n 1100 resume\n 1110 {answer}", until=1111)
    assert heard.only("say", "done", after=1100) == [
        "1100 done resume",
        "1100 say ask-resume",
        "1110 done resume",
        "1110 say resumed",
    ]
    assert heard.session.view().mode == "running"


@pytest.mark.parametrize("answer", ["no", "tick"])
def test_without_a_yes_the_pause_goes_on(answer: str) -> None:
    heard = play(f"0 begin\n 0 silence\n 1000 pause\n 1100 resume\n 1105 {answer}\n 1130 yes", until=1200)
    assert heard.only("refused") == ["1130 refused yes"]
    assert heard.session.view().mode == "paused"


def test_a_question_takes_the_place_of_the_one_before() -> None:
    heard = play("0 begin\n 0 silence\n 1000 pause\n 1100 resume\n 1104 end\n 1108 yes", until=1109)
    assert heard.session.view().mode == "closing"
    heard = play("0 begin\n 0 silence\n 1000 pause\n 1100 end\n 1104 resume\n 1108 yes", until=1109)
    assert heard.session.view().mode == "running"
    heard = play("0 begin\n 0 silence\n 1000 end\n 1004 pause\n 1008 yes", until=1009)
    assert heard.only("refused") == ["1008 refused yes"]


def test_taking_back_a_pause_that_was_a_mistake_asks_nothing() -> None:
    heard = play("0 begin\n 0 silence\n 1000 pause\n 1005 resume\n 1008 undo", until=1009)
    assert (heard.session.view().mode, heard.session.view().asks) == ("running", None)


def test_nobody_is_reminded_aloud_soon_after_a_pause() -> None:
    talks_on = "\n".join(f"{t} evidence 2.4 {t - 1000}" for t in range(1010, 1300, 2))
    pause = "0 enrolment ready\n 985 pause\n 989 resume\n 990 yes\n"
    quiet = "".join(f"{t}.5 silence\n {t + 2}.6 presenter\n" for t in range(1015, 1300, 10))
    paused = in_discussion(pause + PRESENTER_TALKS_ON + talks_on + "\n" + quiet, until=1300)
    spoken = [float(text.split()[0]) for text in paused.only("reminder") if text.endswith(" 2")]
    assert spoken
    assert min(spoken) >= 990 + 120
    assert paused.only("reminder")[0] == "1003 reminder 1", "the quiet line may come"
    other = in_discussion(PRESENTER_TALKS_ON + talks_on + "\n" + quiet, until=1300)
    assert float(other.only("reminder")[1].split()[0]) < 1030


def test_a_pause_in_the_last_word_keeps_its_time() -> None:
    heard = play("0 begin\n 2400 pause\n 2698 resume\n 2700 yes", until=2701)
    assert heard.plan() == {"last-word": 120, "close": 90}  # the close gives what it can, then the end moves


# ------------------------------------------------------------ undo


@pytest.mark.parametrize(
    "asked",
    ["next", "back", "repeat", "phase close", "more-time", "less-time", "less-time 3600", "stop-reminders"],
)
def test_what_was_asked_by_mistake_can_be_taken_back(asked: str) -> None:
    plain = play("0 begin\n 1000 tick", until=1014.9).session.view()
    heard = play(f"0 begin\n 1000 {asked}\n 1014.9 undo", until=1014.9)
    again = heard.session.view()
    assert (again.phase, again.phase_left, again.session_left, again.later, again.reminders) == (
        plain.phase,
        pytest.approx(plain.phase_left),
        pytest.approx(plain.session_left),
        plain.later,
        plain.reminders,
    )
    assert heard.only("show", after=1014) == ["1014.9 show Undone."]


@pytest.mark.parametrize("asked", ["next", "more-time", "stop-reminders", "pause"])
def test_after_the_window_nothing_can_be_taken_back(asked: str) -> None:
    heard = play(f"0 begin\n 1000 {asked}\n 1015 undo", until=1016)
    assert heard.only("refused") == ["1015 refused undo"]


def test_a_pause_can_be_taken_back() -> None:
    heard = play("0 begin\n 1000 pause\n 1010 undo", until=1011)
    assert heard.session.view().mode == "running"
    assert heard.only("listen", after=1000) == ["1000 listen", "1010 listen decide"]


def test_a_resume_can_be_taken_back() -> None:
    heard = play("0 begin\n 1000 pause\n 1095 resume\n 1100 yes\n 1110 undo", until=1111)
    plain = play("0 begin\n 1000 pause", until=1111).session.view()
    again = heard.session.view()
    assert (again.mode, again.phase, again.phase_left, again.session_left, again.later) == (
        "paused",
        plain.phase,
        pytest.approx(plain.phase_left),
        pytest.approx(plain.session_left),
        plain.later,
    )
    assert heard.only("listen", after=1000) == ["1000 listen", "1100 listen decide", "1110 listen"]


def test_a_resume_can_be_taken_back_after_the_next_part_began() -> None:
    heard = play("0 begin\n 295 pause\n 398 resume\n 400 yes\n 410 undo", until=411)
    assert heard.only("phase", after=400) == ["405 phase story", "410 phase case (undo)"]
    assert (heard.session.view().mode, heard.session.view().phase_left) == ("paused", pytest.approx(5))


@pytest.mark.parametrize("asked", ["begin", "phase story"])
def test_a_beginning_can_be_taken_back(asked: str) -> None:
    heard = play(f"0 silence\n 10 {asked}\n 20 undo\n 500 begin", until=501)
    assert heard.only("back", "forget", "phase", after=20) == [
        "20 back to start",
        "20 forget",
        "500 phase welcome",
    ]
    view = heard.session.view()
    assert (view.phase_left, view.session_left) == (pytest.approx(59), pytest.approx(45 * 60 - 1))
    waiting = play(f"0 silence\n 10 {asked}\n 20 undo", until=400).session.view()
    assert (waiting.mode, waiting.session_left) == ("not-started", 45 * 60)


def test_adding_time_again_after_taking_it_back_does_not_repeat_a_cue() -> None:
    heard = play("0 begin\n 595 more-time 6\n 601 tick\n 606 undo\n 608 more-time 60", until=700)
    cues = [text for text in heard.only("show") if "left for the story" in text]
    assert cues == ["606 show 1 minute left for the story."]


def test_taking_back_more_time_keeps_the_words_that_still_wait() -> None:
    heard = play("0 begin\n 5 other\n 300.5 next\n 302 more-time\n 304 undo\n 306 silence", until=320)
    assert heard.only("say", after=300)[:2] == ["307.8 say story.start", "312.6 say undone"]


def test_nothing_is_undone_twice() -> None:
    heard = play("0 begin\n 400 next\n 401 undo\n 402 undo", until=403)
    assert heard.only("refused") == ["402 refused undo"]


# ------------------------------------------------------------ the end


def test_ending_asks_once() -> None:
    heard = play("0 begin\n 0 silence\n 1000 end\n 1010 yes", until=1100)
    assert heard.only("say", "phase", "ended", "forget", after=1000) == [
        "1000 say ask-end",
        "1010 forget",
        "1010 say goodbye",
        "1025 forget for good",  # until then it can be taken back
        "1025 ended request",
    ]


@pytest.mark.parametrize("answer", ["no", "tick"])
def test_without_a_yes_the_session_goes_on(answer: str) -> None:
    heard = play(f"0 begin\n 0 silence\n 1000 end\n 1010 {answer}\n 1030 yes", until=1100)
    assert heard.only("refused") == ["1030 refused yes"]
    assert heard.session.view().mode == "running"


def test_pressing_the_key_once_more_is_a_yes() -> None:
    heard = play("0 begin\n 1000 end\n 1003 end", until=1100)
    assert heard.only("ended") == ["1018 ended request"]


def test_the_time_to_answer_runs_from_the_question_on() -> None:
    heard = play("0 begin\n 990 other\n 1000 end\n 1007 silence\n 1018 yes", until=1019)
    assert heard.only("say", after=990, before=1018) == ["1008.8 say ask-end"]
    assert heard.session.view().mode == "closing"


def test_a_no_leaves_other_words_waiting() -> None:
    heard = play("0 begin\n 290 other\n 305 next\n 306 end\n 307 no\n 308 silence", until=320)
    assert "309.8 say story.start" in heard.only("say", after=305)
    assert not [text for text in heard.only("say") if "ask-end" in text]


def test_an_end_by_mistake_can_be_taken_back_and_voices_are_learnt_anew() -> None:
    heard = in_discussion("1000 end\n 1005 yes\n 1012 undo", until=1020)
    assert heard.only("forget", "listen", "phase", after=1000) == [
        "1005 listen",
        "1005 forget",
        "1012 phase discussion (undo)",
        "1012 listen decide",
    ]
    assert heard.session.view().enrolment is ev.Enrolment.NONE


def test_after_the_end_everything_is_refused() -> None:
    heard = play("0 begin\n 0 silence\n 2800 next\n 2801 undo\n 2802 begin\n 2803 lost speaker", until=2900)
    assert heard.only("refused", "done", "lost", after=2750) == [
        "2800 refused next",
        "2801 refused undo",
        "2802 refused begin",
    ]


def test_next_in_the_close_ends_the_session() -> None:
    heard = play("0 begin\n 2550 next", until=2700)
    assert heard.only("say", "ended", after=2540) == ["2550 say goodbye", "2565 ended request"]


# ------------------------------------------------------------ consent


def test_a_session_that_is_timer_only_from_the_start_says_so_in_the_welcome() -> None:
    heard = play([(0.0, ev.Request(ev.Action.TIMER_ONLY, ev.OPTION)), (1.0, event("begin"))], until=30)
    assert heard.only("show") == [], "nothing was learnt, so nothing is deleted"
    (welcome,) = heard.texts("welcome.start")
    assert "I only keep time." in welcome
    assert "don't tell voices apart" in welcome
    assert "whose voice" not in welcome
    assert "press T" not in welcome


def test_timer_only_is_for_good() -> None:
    heard = in_discussion(
        """
        970  more-time
        975  timer-only
        980  undo            # takes back the two minutes, never the consent
        1000 enrolment ready
        1001 presenter
        1020 evidence 3 30
        1040 timer-only
        1050 next
        1060 phase story
    """,
        until=2800,
    )
    after = heard.only("forget", "listen", "reminder", "refused", after=975)
    assert after[:3] == ["975 forget for good", "975 listen", "1040 refused timer-only"]
    assert {text.split(" ", 1)[1] for text in after[3:]} <= {"listen", "forget", "forget for good"}
    assert not heard.session.view().reminders
    assert heard.session.view().enrolment is ev.Enrolment.NONE


def test_timer_only_before_the_session_begins() -> None:
    heard = play("0 timer-only\n 1 begin", until=2800)
    assert {text.split(" ", 1)[1] for text in heard.only("listen")} == {"listen"}
    assert heard.only("ended")


@pytest.mark.parametrize("asked", ["timer-only", "stop-reminders", "pause", "lost microphone"])
def test_a_reminder_that_waits_is_withdrawn(asked: str) -> None:
    heard = in_discussion(PRESENTER_TALKS_ON + f"1011 {asked}\n 1012 silence", until=1100)
    assert heard.only("reminder") == ["1003 reminder 1"]


def test_stop_reminders_and_its_undo() -> None:
    heard = in_discussion("980 stop-reminders\n 990 undo" + PRESENTER_TALKS_ON, until=1005)
    assert heard.only("reminder") == ["1003 reminder 1"]
    heard = in_discussion("980 stop-reminders" + PRESENTER_TALKS_ON, until=1020)
    assert heard.only("reminder") == []


# ------------------------------------------------------------ the reminder ladder


def test_the_ladder_line_then_words_in_a_gap() -> None:
    heard = in_discussion(PRESENTER_TALKS_ON + "1011 evidence 1.2 10\n 1012 silence\n 1020 other", until=1100)
    assert heard.only("reminder", "say", after=1000) == [
        "1003 reminder 1",
        "1013.8 reminder 2",
        "1013.8 say reminder",
    ]
    assert heard.only("show", after=1000) == ["1003 show The presenter can just listen now."]


@pytest.mark.parametrize("gap", [1014, 1023])
def test_who_has_given_way_is_not_reminded(gap: int) -> None:
    heard = in_discussion(PRESENTER_TALKS_ON + f"1011 other\n {gap} silence", until=1100)
    assert heard.only("reminder", "say", "chime", after=1000) == ["1003 reminder 1"]


def test_a_reminder_waits_for_the_gap_as_long_as_the_presenter_goes_on() -> None:
    more = "".join(f"{second} evidence 2.4 {second - 1001}\n" for second in range(1012, 1030, 2))
    heard = in_discussion(PRESENTER_TALKS_ON + more + "1028.5 silence\n 1040 other", until=1100)
    assert heard.only("reminder", after=1000) == ["1003 reminder 1", "1030.3 reminder 2"]


@pytest.mark.parametrize(
    "evidence",
    ["2.9 1.4", "0.9 30", "nan 30", "3 nan"],
    ids=["a back-channel", "doubtful", "no number", "no length"],
)
def test_what_is_doubtful_leads_to_nothing(evidence: str) -> None:
    heard = in_discussion(f"1000 presenter\n 1003 evidence {evidence}\n 1005 silence", until=1100)
    assert heard.only("reminder") == []


@pytest.mark.parametrize("quality", ["none", "learning", "poor", "ambiguous"])
def test_without_a_sure_voice_there_are_no_reminders(quality: str) -> None:
    heard = in_discussion(f"970 enrolment {quality}" + PRESENTER_TALKS_ON + "1012 silence", until=1100)
    assert heard.only("reminder") == []


def test_the_first_seconds_of_the_discussion_are_free() -> None:
    heard = in_discussion("979 evidence 3 15\n 979.9 evidence 3 16\n 980 evidence 3 16", until=981)
    assert heard.only("reminder") == ["980 reminder 1"]


def test_only_the_discussion_has_reminders() -> None:
    heard = play("0 begin\n 600 enrolment ready\n 640 evidence 3 30\n 900 evidence 3 30", until=950)
    assert heard.only("reminder") == []


def test_the_quiet_line_comes_again_only_after_the_evidence_has_fallen() -> None:
    heard = in_discussion(
        """
        1000 evidence 1.2 3
        1010 evidence 1.2 13
        1020 evidence 0.6 3
        1030 evidence 1.2 3
        1040 evidence 0.4 3
        1043 evidence 1.2 3
    """,
        until=1100,
    )
    assert heard.only("reminder") == ["1000 reminder 1", "1043 reminder 1"]


def test_the_quiet_line_comes_again_after_five_seconds_at_the_earliest() -> None:
    again = "1000 evidence 1.2 3\n 1001 evidence 0.4 3\n 1002 evidence 1.2 3\n 1004.9 evidence 1.2 5\n"
    heard = in_discussion(again + "1005 evidence 1.2 5", until=1100)
    assert heard.only("reminder") == ["1000 reminder 1", "1005 reminder 1"]


def test_what_was_shown_before_a_part_began_anew_does_not_count_in_it() -> None:
    talks_on = "1000 evidence 1.2 3\n 1010 evidence 1.2 13\n 1020 phase discussion\n 1041 evidence 1.2 3"
    heard = in_discussion(talks_on, until=1100)
    assert heard.only("phase", after=1000) == ["1020 phase discussion"]
    assert heard.only("reminder") == ["1000 reminder 1", "1041 reminder 1"]


def test_what_is_said_stands_there_as_long_as_it_takes_to_read() -> None:
    """The slowest reader that is thought of: twelve characters a second."""
    text = play("0 begin", until=1).texts("welcome.start")[0]
    seconds = len(text) / 12
    assert seconds > 20, "a long one"

    def shown(at: float) -> str:
        return play("0 begin", until=at, voice_seconds=3.0).session.view().caption

    assert shown(seconds - 0.1) == text
    assert shown(seconds + 0.1) != text
    assert play("0 begin\n 0 silence", until=300).session.view().caption


def test_at_most_two_spoken_reminders_five_minutes_apart_then_it_is_left_to_the_people() -> None:
    intrusions = "".join(
        f"{t} presenter\n {t + 3} evidence 1.5 3\n {t + 9} evidence 2.5 9\n {t + 10} silence\n"
        f"{t + 13} other\n {t + 14} evidence 0 0\n"
        for t in range(1000, 2200, 100)
    )
    heard = in_discussion(intrusions, until=2200, policy=shipped_policy(voice_at_most=2))
    levels = [text for text in heard.only("reminder") if not text.endswith(" 1")]
    assert levels == ["1011.8 reminder 2", "1411.8 reminder 2", "1509 reminder 3"]
    assert heard.only("reminder", after=1510) == []
    usual = in_discussion(intrusions, until=2200)
    assert [text for text in usual.only("reminder") if not text.endswith(" 1")][:1] == ["1011.8 reminder 2"]
    assert len([text for text in usual.only("reminder") if text.endswith(" 2")]) == 1


def test_with_spoken_reminders_switched_off_the_quiet_line_stays() -> None:
    strong = "".join(
        f"{t} evidence 3 30\n {t + 1} evidence 3 31\n {t + 20} evidence 0 0\n" for t in (1000, 1100)
    )
    heard = in_discussion(strong, until=1200, policy=shipped_policy(voice_at_most=0))
    assert heard.only("reminder") == ["1000 reminder 1", "1100 reminder 1"]


@pytest.mark.parametrize("part", ["microphone", "hearing", "voice-model"])
def test_no_reminders_while_a_part_of_the_hearing_is_lost(part: str) -> None:
    heard = in_discussion(f"990 lost {part}" + PRESENTER_TALKS_ON + "1012 silence", until=1100)
    assert heard.only("reminder") == []
    assert not heard.session.view().reminders


# ------------------------------------------------------------ two cases


def test_only_the_check_in_is_a_round_even_where_the_story_was_skipped_or_gone_back_to() -> None:
    story = "\n".join(f"{at} phase story" for at in (300, 700))
    heard = play(f"0 begin\n100 next\n200 next\n{story}\n310 next", until=900, name="balint-45")
    listened = [e for e in heard.effects if isinstance(e, ev.Listen)]
    assert any(e.is_round for e in listened)
    first_story = next(e.at for e in listened if e.enrol)
    assert not any(e.is_round for e in listened if e.at >= first_story)
    assert any(e.learn_others for e in listened if e.at >= first_story), "the questions"


def test_each_story_has_a_presenter_of_its_own() -> None:
    paused = "0 begin\n 500 repeat\n 510 pause\n 518 resume\n 520 resume"
    heard = play(paused, until=5300, name="balint-90-two-cases")
    new = [text for text in heard.only("listen") if "new_presenter" in text]
    assert [text.split(" ", 1)[1] for text in new] == ["listen enrol new_presenter"] * 2
    assert len([text for text in heard.only("listen") if "enrol" in text]) == 4


def test_the_first_presenter_may_speak_in_the_second_discussion() -> None:
    heard = play(
        """
        0    begin
        800  enrolment ready
        2000 phase discussion-2     # nobody told a second story
        2100 evidence 3 30
        2110 back
        2150 evidence 3 30
    """,
        until=2200,
        name="balint-90-two-cases",
    )
    assert heard.only("reminder") == []
    assert heard.only("listen", after=2000, before=2100) == ["2000 listen"]


def test_going_back_to_the_first_story_learns_its_presenter_anew() -> None:
    heard = play("0 begin\n 3000 phase story", until=3001, name="balint-90-two-cases")
    assert heard.only("listen", after=3000) == ["3000 listen enrol new_presenter"]


# ------------------------------------------------------------ faults


@pytest.mark.parametrize("part", ["microphone", "hearing", "voice-model"])
def test_a_lost_part_is_told_once_and_so_is_its_return(part: str) -> None:
    heard = play(
        f"""
        0    begin
        390  other
        400  lost {part}
        401  lost {part}
        404  silence
        495  other
        500  recovered {part}
        501  silence
        520  recovered {part}
    """,
        until=600,
    )
    assert len(heard.only("lost", "recovered")) == 2
    assert [text.split()[2] for text in heard.only("say", after=330)] == [f"lost.{part}", f"back.{part}"]


def test_a_microphone_that_is_back_is_trusted_when_it_has_heard_something() -> None:
    heard = play("0 begin\n 390 silence\n 400 lost microphone\n 408 recovered microphone", until=500)
    assert heard.only("say", "chime", after=406) == ["418 chime back.microphone"]
    assert heard.session.view().who is ev.SpeakerState.UNSURE


def test_a_part_that_comes_and_goes_is_not_talked_about_each_time() -> None:
    flapping = "".join(f"{t} lost microphone\n {t + 3} recovered microphone\n" for t in range(400, 450, 6))
    heard = play("0 begin\n" + flapping, until=500)
    assert heard.only("say", "chime", after=330) == [], "each time it is back before it would be told"
    slowly = "".join(f"{t} lost microphone\n {t + 9} recovered microphone\n" for t in range(400, 450, 18))
    heard = play("0 begin\n" + slowly, until=500)
    assert heard.only("say", "chime", after=330) == ["405 say lost.microphone", "455 chime back.microphone"]


def test_a_fault_that_is_over_before_it_was_told_is_not_told() -> None:
    heard = play(
        "0 begin\n 390 other\n 400 lost voice-model\n 404 recovered voice-model\n 406 silence", until=500
    )
    assert heard.only("say", "chime", after=390) == []


def test_a_fault_is_still_told_in_the_next_phase() -> None:
    heard = play("0 begin\n 650 other\n 658 lost voice-model\n 659 next\n 661 silence", until=700)
    said = [text.split()[2] for text in heard.only("say", after=650)]
    assert said == ["lost.voice-model", "questions.start"]


def test_a_lost_voice_is_told_by_the_tone_and_a_lost_speaker_by_the_display() -> None:
    heard = play("0 begin\n 400 lost speech-engine\n 500 lost speaker", until=600)
    assert heard.only("say", "chime", "show", after=350, before=599) == [
        "400 show I've lost my voice. Please listen for the tone and watch the screen.",
        "405 chime lost.speech-engine",
        "500 show The loudspeaker has gone quiet. Please watch the screen.",
    ]


def test_a_session_that_loses_its_microphone_goes_on_as_a_timer() -> None:
    heard = play("0 begin\n 350 other\n 400 lost microphone", until=2800)
    assert heard.only("phase", after=400) == [
        "660 phase questions",
        "960 phase discussion",
        "2280 phase last-word",
        "2520 phase close",
    ]
    assert heard.only("ended") == ["2691 ended planned"]


# ------------------------------------------------------------ answers and the display


def test_time_left_is_shown_at_once_and_said_in_the_next_gap() -> None:
    heard = play("0 begin\n 390 other\n 400 time-left\n 405 silence", until=420)
    assert heard.only("show", "say", after=390) == [
        "400 show 4 minutes left in this part, 38 minutes in all.",
        "406.8 say time-left",
    ]


def test_an_answer_that_finds_no_gap_stays_on_the_display() -> None:
    heard = play("0 begin\n 390 other\n 400 time-left\n 415 silence", until=420)
    assert heard.only("say", "chime", after=390) == []


def test_what_the_display_shows_before_and_after() -> None:
    fresh = session().view()
    assert (fresh.mode, fresh.session_left, len(fresh.later)) == ("not-started", 2700, 8)
    heard = play("0 begin\n 0 silence", until=2690)
    closing = heard.session.view()
    assert (closing.mode, closing.session_left, closing.later) == ("closing", 10, ())
    ended = play("0 begin\n 0 silence", until=2800).session.view()
    assert (ended.mode, ended.session_left, ended.later, ended.allowed) == ("ended", 0, (), frozenset())


@pytest.mark.parametrize("action", ev.Action)
def test_every_refusal_has_a_sentence(action: ev.Action) -> None:
    effects = play([(0.0, ev.Request(action))], until=0).effects
    for effect in effects:
        if isinstance(effect, ev.Refused):
            assert effect.text in wording().sentences.values()
    assert effects


def test_a_pause_that_nobody_asked_for_shows_its_reason_as_long_as_it_lasts() -> None:
    heard = play(
        [(0, ev.Request(ev.Action.BEGIN)), (100, ev.Request(ev.Action.PAUSE, ev.ASLEEP))], until=2000
    )
    assert heard.session.view().line == wording().say("paused.asleep")
    assert heard.texts("paused") == [wording().say("paused.asleep")]
    heard.session.handle(ev.Request(ev.Action.RESUME), 2001)
    heard.session.handle(ev.Request(ev.Action.YES), 2003)
    heard.session.handle(ev.Request(ev.Action.PAUSE), 2101)
    assert heard.session.view().line != wording().say("paused.asleep")
