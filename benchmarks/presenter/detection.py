"""How well the presenter is told from the others, on rendered sessions with known truth.

    python -m benchmarks.presenter.sessions ../shared/speech --out ~/rooms    # renders 185 sessions more
    python -m benchmarks.presenter.detection ../shared/speech ../shared/speech/sessions/dev ~/rooms \\
        --cache ~/frames --curve docs/presenter-detection.png

Each session is heard at its true phases, by nothing that has heard its presenter: the cohort is without the
voices of its cast; what tells two voices at once is not the shipped network, which knows them all, but one
that was trained by the same script without half of the voices, the presenter's among them (`--networks`); the
weights that know a remark are fitted anew without all sessions in which the presenter is heard, and without
those that `training/voices/make_remarks.py` leaves untouched. Flags are levels of the real reminder ladder
under the shipped settings, counted by the corpus' `score_session.py`.
In the same run: baselines (`baselines.py`), voice groups, excerpts of real meetings, cost.
Needs scikit-learn, `../shared/speech/requirements.txt` for GMM-UBM, matplotlib for the picture.
"""

from __future__ import annotations

import os

from voice_facilitator.machine.resources import ONE_THREAD

os.environ.update(dict.fromkeys(ONE_THREAD, "1"))  # as the hearing process does, before NumPy is loaded

import argparse
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks import corpus
from benchmarks.presenter.counts import FRAMES_HEAD, HEAD, Bench, Counts, Heard, rule
from benchmarks.presenter.curves import BASE_HEAD, STRENGTHS, baseline_curves, baseline_rows, draw
from benchmarks.presenter.frames import Analysed, sessions_in
from benchmarks.presenter.heard import Hops, add_networks_argument, encoders_for_looks, hear
from benchmarks.presenter.meetings import meetings
from benchmarks.running.hearing_cost import SMALL_HOP_SECONDS, table
from training.voices.make_remarks import UNTOUCHED, check_learner, fits_without
from voice_facilitator.files.settings import Settings, load_settings
from voice_facilitator.hearing.who.turns import HOP_CHUNKS
from voice_facilitator.hearing.who.voice_model import load_voice_model

GROUPS = {
    "dev sessions": "d",
    "rendered": "ABDHLTUVWX",
    "**all these**": "dABDHLTUVWX",
    "**rendered at the end, in no fit**": UNTOUCHED,
}


def groups(heard: list[Heard]) -> Iterable[tuple[str, list[Heard]]]:
    """By the presenter's voice. speechocean762: English as a second language (Mandarin first)."""
    tests: dict[str, Callable[[dict[str, Any]], bool]] = {
        "female presenter": lambda s: (s["sex"] or "").startswith("f"),
        "male presenter": lambda s: (s["sex"] or "").startswith("m"),
        "native English": lambda s: s["source"] != "speechocean762",
        "not native": lambda s: s["source"] == "speechocean762",
    }
    for name, test in tests.items():
        yield name, [h for h in heard if test(h.session.presenter)]


def sets(heard: list[Heard]) -> Iterable[tuple[str, list[Heard]]]:
    for name, initials in GROUPS.items():
        yield name, [h for h in heard if h.session.name[0] in initials]
    yield "**all**", heard


def main() -> None:
    options = arguments()
    if not (options.speech / "score_session.py").exists():
        print(f"Skipped: no speech corpus at {options.speech} (it is not part of this repository).")
        return
    sessions = sessions_in(options.sessions)
    if not sessions:
        print("Skipped: no rendered sessions in these folders (render_dev.sh, `sessions.py`).")
        return
    check_learner()
    settings = load_settings()
    model = load_voice_model(settings.hearing)
    bench = Bench(corpus.script(options.speech, "score_session"), settings)
    closer = encoders_for_looks(model, options.speech, options.networks)
    analysed = {
        s.name: Analysed.of(s, model.encoder, settings.hearing, options.cache, closer(s)) for s in sessions
    }
    looked_at = []
    for session in sessions:
        looked_at.append((session, Hops()))
        recording = replace(model, remark=looked_at[-1][1])
        hear(session, analysed[session.name], recording, settings, HOP_CHUNKS)
    remarks = fits_without(looked_at)
    if remarks is None:
        print("Too few sessions to fit the weights of remarks anew: the shipped ones are used.\n")

    def heard_with(changed: Settings, hop: int) -> list[Heard]:
        models = [replace(model, remark=remarks[s.presenter["id"]]) if remarks else model for s in sessions]
        return [hear(s, analysed[s.name], m, changed, hop) for s, m in zip(sessions, models, strict=True)]

    heard = heard_with(settings, HOP_CHUNKS)
    hours = sum(b - a for s in sessions for a, b in [s.phase("discussion")]) / 3600
    print(f"{len(sessions)} sessions, {hours:.2f} hours of discussion, encoder {model.encoder.name}\n")
    print(HEAD, rule(HEAD), *(bench.row(n, h) for n, h in sets(heard) if h), sep="\n")
    small = settings.model_copy(
        update={"hearing": settings.hearing.model_copy(update={"hop_seconds": SMALL_HOP_SECONDS})}
    )
    print(bench.row("small machine, hop 0.4 s", heard_with(small, 2 * HOP_CHUNKS)))
    print(*(bench.row(n, h) for n, h in groups(heard)), sep="\n")
    print("", FRAMES_HEAD, rule(FRAMES_HEAD), sep="\n")
    print(*(bench.frames_row(n, h) for n, h in [*sets(heard), *groups(heard)] if h), sep="\n")
    print("\nFalse flags:", *told_false(bench.count(heard)) or ["none"], sep="\n- ")
    curves = {"as shipped": [bench.count(heard, k, frames=False) for k in STRENGTHS]}
    curves |= baseline_curves(bench, sessions, analysed, options)
    print("\nBaselines, all sessions:\n", BASE_HEAD, rule(BASE_HEAD), *baseline_rows(curves), sep="\n")
    print("\n" + meetings(options.speech / "meetings", model.encoder))
    if options.cost:
        print("\n" + table(sessions[0].audio, options.cost))
    if options.curve:
        draw(curves, options.curve)
    if options.json:
        options.json.write_text(json.dumps(bench.count(heard).results, indent=1))


def told_false(counts: Counts) -> list[str]:
    """Who spoke when a flag was false: session, time, the voice's source and sex."""
    lines = []
    for result, heard in zip(counts.results, counts.heard, strict=True):
        voices = {s["id"]: s for s in heard.session.truth["speakers"]}
        for at in result["false_flags"]:
            spoke = {
                a["speaker"]
                for a in heard.session.truth["activity"]
                if a["start"] < at and a["end"] > at - 1.5
            }
            who = ", ".join(f"{name} ({voices[name]['sex']})" for name in sorted(spoke))
            lines.append(
                f"{heard.session.name} at {at:.1f} s, presenter {heard.session.presenter['id']}: {who}"
            )
    return lines


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("speech", type=Path, help="folder of score_session.py")
    parser.add_argument(
        "sessions", type=Path, nargs="+", help="folders of folders with session.flac and truth.json"
    )
    add_networks_argument(parser)
    parser.add_argument("--cache", type=Path, help="keep embeddings here, for the next run")
    parser.add_argument("--curve", type=Path, help="draw the detection curves here")
    parser.add_argument("--json", type=Path, help="the scorer's results for each session")
    parser.add_argument("--no-gmm", dest="gmm", action="store_false", help="leave GMM-UBM out")
    parser.add_argument(
        "--cost",
        type=float,
        default=0.0,
        metavar="HOURS",
        help="measure the cost over so many hours of sound",
    )
    options = parser.parse_args()
    if options.curve and find_spec("matplotlib") is None:
        parser.error("--curve needs matplotlib: pip install matplotlib")  # not after minutes of work
    return options


if __name__ == "__main__":
    main()
