"""How well the presenter is told from the others, on rendered sessions with known truth.

    python benchmarks/presenter_detection.py ../shared/speech/sessions/dev --scorer ../shared/speech

Hears each session once, phases at their true times, the voices of its cast left out of the cohort. A flag is
evidence of strength 1 with two seconds of speech, at most one in ten seconds, after the first 20 seconds of
the discussion. Prints what `score_session.py` of the speech folder counts, and the share of real time.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the hearing process does

import argparse
import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from voice_facilitator.hearing.pipeline import Hearing
from voice_facilitator.hearing.source import FileSource
from voice_facilitator.hearing.voice_model import VoiceModel, load_voice_model
from voice_facilitator.session.events import Listen, PresenterEvidence, SpeakerChanged
from voice_facilitator.settings import Settings, load_settings

PHASES = {
    "check_in": Listen(0.0, enrol=False, learn_others=True, decide=False),
    "presentation": Listen(0.0, enrol=True, learn_others=False, decide=False, new_presenter=True),
    "questions": Listen(0.0, enrol=False, learn_others=True, decide=False),
    "discussion": Listen(0.0, enrol=False, learn_others=False, decide=True),
    "last_word": Listen(0.0, enrol=False, learn_others=False, decide=False),
}
FLAG_EVERY_SECONDS = 10.0


def main() -> None:
    options = arguments()
    sys.path.insert(0, str(options.scorer))
    scorer = importlib.import_module("score_session")
    limits = argparse.Namespace(collar=0.25, pause=0.6, grace=3.0)
    settings = load_settings()
    model = load_voice_model(settings.hearing)
    results = []
    for folder in sorted(path.parent for path in options.sessions.rglob("truth.json")):
        truth = json.loads((folder / "truth.json").read_text())
        began = time.perf_counter()
        events = hear(folder / "session.flac", truth, settings, model, options.strength)
        spent = time.perf_counter() - began
        results.append(scorer.score(truth, events, limits))
        print(f"{folder.name}: {truth['duration'] / spent:.1f} times real time", file=sys.stderr)
    text, summary = scorer.report(results)
    print(text)
    for name, rounds in (("with a round", True), ("without", False)):
        group = [r for r in results if ("check_in" in r["frames"]) == rounds]
        hours = sum(r["discussion_s"] for r in group) / 3600
        false = sum(len(r["false_flags"]) for r in group)
        print(f"false flags {name}: {false} in {hours:.2f} hours of discussion")
    if options.json:
        options.json.write_text(json.dumps(summary, indent=1))


def hear(
    path: Path, truth: dict[str, Any], settings: Settings, model: VoiceModel, strength: float
) -> list[dict[str, Any]]:
    """The scorer's events for one session."""
    cast = {speaker["id"] for speaker in truth["speakers"]}
    cohort = model.cohort.without(cast) if model.cohort else None
    hearing = Hearing(settings.hearing, model.encoder, cohort, model.rule)
    phases = sorted(truth["phases"], key=lambda phase: phase["start"])
    discussion = next(phase for phase in phases if phase["name"] == "discussion")
    decide_from = discussion["start"] + settings.reminders.quiet_start_seconds
    events: list[dict[str, Any]] = []
    last_flag = -FLAG_EVERY_SECONDS
    for block in FileSource(path, block_seconds=10).blocks():
        for at, found in hearing.steps(block):
            while phases and at >= phases[0]["start"]:
                hearing.listen(PHASES[phases.pop(0)["name"]])
            for event in found:
                match event:
                    case SpeakerChanged(who):
                        events.append({"t": at, "event": "speaker", "who": str(who)})
                    case PresenterEvidence() if (
                        event.strength >= strength
                        and event.speech_seconds >= settings.reminders.least_speech_seconds
                        and decide_from <= at <= discussion["end"]
                        and at - last_flag >= FLAG_EVERY_SECONDS
                    ):
                        events.append({"t": at, "event": "flag"})
                        last_flag = at
    return events


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sessions", type=Path, help="folder of folders with session.flac and truth.json")
    parser.add_argument("--scorer", type=Path, required=True, help="folder of score_session.py")
    parser.add_argument("--strength", type=float, default=1.0, help="1: quiet line, 2: spoken reminder")
    parser.add_argument("--json", type=Path, help="write the summary here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
