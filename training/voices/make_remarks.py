"""Build `models/remark-campplus.npz`: the weights by which a remark of the presenter's is known as one.

    python -m training.voices.make_remarks ../shared/speech ../shared/speech/sessions/dev ~/rooms \\
        --cache ~/frames

Hears the sessions of `benchmarks/presenter/sessions.py` and fits a logistic regression to what the last hops
told, for each hop of the discussion in which something points to the presenter: are they making a remark that
is longer than a back-channel? What `UNTOUCHED` names is left out. Needs scikit-learn. The same sessions give
the same weights, but for rounding. `benchmarks/presenter/detection.py` fits them anew without each presenter
that it hears.
"""

from __future__ import annotations

import os

from voice_facilitator.machine.resources import ONE_THREAD, shipped

os.environ.update(dict.fromkeys(ONE_THREAD, "1"))  # as the hearing process does, before NumPy is loaded

import argparse
from collections.abc import Iterable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from benchmarks.presenter.frames import Analysed, Session, sessions_in
from benchmarks.presenter.heard import Hops, add_networks_argument, encoders_for_looks, hear
from training.voices.make_cohort import npz_bytes
from voice_facilitator.files.settings import load_settings
from voice_facilitator.hearing.sound.samples import Floats
from voice_facilitator.hearing.who.encoder import CampplusEncoder
from voice_facilitator.hearing.who.remark import Remark, standardised
from voice_facilitator.hearing.who.turns import HOP_CHUNKS
from voice_facilitator.hearing.who.voice_model import Cohort, Rule, VoiceModel
from voice_facilitator.models import file_hash, load_manifest

LEAST_SESSIONS = 90  # to fit to: with the ten dev sessions alone 23 of 35 mid intrusions were noticed, not 32
UNTOUCHED = "Y"  # initials of sessions that nothing is fitted to
# A hop is of a remark from so long after the first sound of a mid or long intrusion ...
BEGINS_SECONDS = 1.6  # a window; what comes earlier is not asked
ENDS_SECONDS = 0.3  # ... to so long after its end; then the windows hold less and less of it
GRACE_SECONDS = 3.0  # so long after its end a flag still counts as right; those hops are not asked
QUIET_SECONDS = 20.0  # at the beginning nobody is reminded: others' speech there is not asked
# How much a hop weighs: short intrusions are rare among what is no remark, and one hop is enough for a flag
# on one; a mid intrusion has fewer hops than a long one. (5 to 20 and 4 to 6 make no difference to speak of.)
SHORT_WEIGHT, MID_WEIGHT = 10.0, 4.0
RIDGE = 0.01  # inverse strength of the penalty; 0.005 to 0.1 differ by one in a hundred
RARELY_MISSING = 0.02  # share of hops: less is no feature of its own


def labels(session: Session, times: Floats) -> tuple[np.ndarray, Floats]:
    """Whether each hop is of a remark (1, 0, or -1: not asked), and what it weighs."""
    wanted, weight = np.zeros(len(times), int), np.ones(len(times))
    wanted[times < session.phase("discussion")[0] + QUIET_SECONDS] = -1
    for intrusion in session.truth["intrusions"]:
        start, end = intrusion.get("speech_start", intrusion["start"]), intrusion["end"]
        around = (times >= start) & (times <= end + GRACE_SECONDS)
        if intrusion["cls"] == "short":
            weight[around] = SHORT_WEIGHT
            continue
        weight[around] = MID_WEIGHT if intrusion["cls"] == "mid" else 1.0
        wanted[around] = -1
        wanted[(times >= start + BEGINS_SECONDS) & (times <= end + ENDS_SECONDS)] = 1
    return wanted, weight


def fit(heard: Iterable[tuple[Session, Hops]]) -> dict[str, Floats]:
    """The weights that tell the remarks in these sessions best: what `Remark` takes."""
    from sklearn.linear_model import LogisticRegression

    looked_at, wanted, weight = [], [], []
    for session, hops in heard:
        if hops.times:
            is_remark, counts = labels(session, np.array(hops.times))
            looked_at.append(np.stack(hops.looked_at)[is_remark >= 0])
            wanted.append(is_remark[is_remark >= 0])
            weight.append(counts[is_remark >= 0])
    rows = np.concatenate(looked_at)
    mean = np.nan_to_num(np.nanmean(rows, axis=0))
    scale = np.nan_to_num(np.nanstd(rows, axis=0)) + 1e-3
    often = np.isnan(rows).mean(axis=0) > RARELY_MISSING
    far, missing = standardised(rows, mean, scale)
    found = LogisticRegression(C=RIDGE, max_iter=500)
    found.fit(np.hstack([far, missing[:, often]]), np.concatenate(wanted), np.concatenate(weight))
    absent = np.zeros(len(mean), np.float32)
    absent[often] = found.coef_[0, len(mean) :]
    arrays = {
        "mean": mean,
        "scale": scale,
        "weight": found.coef_[0, : len(mean)],
        "missing": absent,
        "bias": found.intercept_,
    }
    return {name: np.asarray(array, np.float32) for name, array in arrays.items()}


def fits_without(heard: list[tuple[Session, Hops]]) -> dict[str, Remark] | None:
    """Weights by presenter: without all sessions in which that voice is heard and without `UNTOUCHED`.

    None where too few sessions would be left.
    """
    known = [(s, h) for s, h in heard if s.name[0] not in UNTOUCHED]
    found = {}
    for name in sorted({session.presenter["id"] for session, _ in heard}):
        some = [(s, h) for s, h in known if name not in s.cast]
        if len(some) < LEAST_SESSIONS:
            return None
        found[name] = Remark(fit(some))
    return found


def without_weights() -> VoiceModel:
    """What ships, without the weights that are to be made."""
    manifest = load_manifest()
    entry = manifest.default_encoder()
    encoder = CampplusEncoder.load(entry.path(), manifest.find(entry.two_voices).path(), entry.name)
    return VoiceModel(encoder, Cohort.load(shipped("models", entry.cohort)), Rule(**entry.decision))


def main() -> None:
    options = arguments()
    check_learner()
    sessions = [each for each in sessions_in(options.sessions) if each.name[0] not in UNTOUCHED]
    if not sessions:
        raise SystemExit(
            "No rendered sessions in these folders (render_dev.sh, benchmarks.presenter.sessions)."
        )
    settings = load_settings()
    model = without_weights()
    closer = encoders_for_looks(model, options.speech, options.networks)
    heard = []
    for session in sessions:
        analysed = Analysed.of(session, model.encoder, settings.hearing, options.cache, closer(session))
        hops = Hops()
        hear(session, analysed, replace(model, remark=hops), settings, HOP_CHUNKS)
        heard.append((session, hops))
    arrays = fit(heard)
    options.out.write_bytes(npz_bytes(arrays))
    print(f"remark_sha256 in models/manifest.toml: {file_hash(options.out)}")
    print(f"{len(heard)} sessions, {len(arrays['weight'])} features, {options.out}")


def check_learner() -> None:
    """Now, not after minutes of work."""
    if find_spec("sklearn") is None:
        raise SystemExit("scikit-learn, which fits the weights, is not there: pip install scikit-learn")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("speech", type=Path, help="folder of score_session.py")
    parser.add_argument("sessions", type=Path, nargs="+", help="folders of rendered sessions")
    add_networks_argument(parser)
    parser.add_argument("--cache", type=Path, help="keep embeddings here, for the next run")
    parser.add_argument("--out", type=Path, default=Path("models/remark-campplus.npz"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
