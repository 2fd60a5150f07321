"""The baselines of `detection.py`, on the same voice activity and the same windows of 1.6 s.

cosine: cosine of each window to the mean of the story against a fixed threshold, as a speaker library's
example code does it. GMM-UBM (Reynolds, Quatieri and Dunn 2000): MFCC with deltas, mean and variance
normalised over the session, a background model of 128 diagonal components from voices in simulated rooms
that are in no session's cast, means adapted to the story with relevance factor 16.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from benchmarks import corpus
from benchmarks.presenter.frames import Analysed, Session
from training.voices.make_cohort import Rooms
from voice_facilitator.hearing.sound.samples import RATE, Floats
from voice_facilitator.hearing.who.encoder import WINDOW_SAMPLES, mel_filters

Scores = list[tuple[float, float]]  # end of the window in seconds, score
_COMPONENTS, _RELEVANCE = 128, 16.0
_UBM_VOICES, _UBM_WINDOWS = 60, 8
_FRAME, _STEP, _BANDS = 400, 160, 40


def cosine_of(ends: Floats, rows: Floats, story: tuple[float, float]) -> Scores:
    """Cosine of every window to the mean of those in the story."""
    inside = (ends - 1.6 >= story[0]) & (ends <= story[1])
    mean = rows[inside].mean(axis=0)
    return list(zip(ends.tolist(), (rows @ (mean / np.linalg.norm(mean))).tolist(), strict=True))


class Gmm:
    """A background model and what is made of it."""

    def __init__(self, speech: Path, casts: set[str], cache: Path | None) -> None:
        """casts: voices that the background must not know."""
        from sklearn.mixture import GaussianMixture  # noqa: PLC0415  needed for this baseline only

        key = hashlib.sha256(" ".join(sorted(casts)).encode()).hexdigest()[:8]
        self._cache = cache / f"gmm-{key}" if cache else None
        file = self._cache / "background.npz" if self._cache else None
        if file is not None and file.exists():
            with np.load(file) as kept:
                self._weights, self._means, self._variances = kept["w"], kept["m"], kept["v"]
            return
        rooms = Rooms(corpus.script(speech, "build_session"), speech, 3)
        frames: list[Floats] = []
        for bank in rooms.banks:
            free = [name for name in sorted(bank.by) if name not in casts]
            for name in free[:: max(1, len(free) // (_UBM_VOICES // 2))]:
                frames += [mfcc(window) for window in rooms.windows(bank, name, _UBM_WINDOWS)]
        heap = np.concatenate(frames)
        heap = (heap - heap.mean(axis=0)) / heap.std(axis=0)
        model = GaussianMixture(
            _COMPONENTS, covariance_type="diag", max_iter=40, init_params="random_from_data", random_state=1
        ).fit(heap)
        self._weights, self._means, self._variances = model.weights_, model.means_, model.covariances_
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            np.savez(file, w=self._weights, m=self._means, v=self._variances)

    def scores(self, session: Session, heard: Analysed) -> Scores:
        """Mean log-likelihood ratio of each window of the discussion."""
        begin, end = session.phase("discussion")
        ends = heard.windows[0]
        ends = ends[(ends >= begin) & (ends <= end)]
        file = self._cache / f"{session.name}.npy" if self._cache else None
        if file is not None and file.exists():
            return list(zip(ends.tolist(), np.load(file).tolist(), strict=True))
        sound = soundfile.read(session.audio, dtype="float32")[0]
        features = mfcc(sound)
        spoken = np.repeat(heard.speech, 512)[: len(sound)][::_STEP][: len(features)]
        features, spoken = features[: len(spoken)], spoken[: len(features)]
        features = (features - features[spoken].mean(axis=0)) / features[spoken].std(axis=0)
        story = session.phase("presentation")
        at = np.arange(len(features)) * _STEP / RATE
        told = features[spoken & (at >= story[0]) & (at < story[1])]
        posterior = self._log(told, self._means)
        posterior = np.exp(posterior - np.logaddexp.reduce(posterior, axis=1, keepdims=True))
        counts = posterior.sum(axis=0)[:, None]
        share = counts / (counts + _RELEVANCE)
        adapted = share * (posterior.T @ told / np.maximum(counts, 1e-9)) + (1 - share) * self._means
        ratio = np.zeros(len(features))
        for k in np.array_split(np.flatnonzero((at >= begin - 2) & (at <= end)), 64):
            both = [np.logaddexp.reduce(self._log(features[k], m), axis=1) for m in (adapted, self._means)]
            ratio[k] = both[0] - both[1]
        voiced = np.concatenate([[0], np.cumsum(spoken)])
        total = np.concatenate([[0.0], np.cumsum(np.where(spoken, ratio, 0))])
        last = np.minimum(np.round(ends * RATE / _STEP).astype(int), len(features))
        first = np.maximum(last - WINDOW_SAMPLES // _STEP, 0)
        means = (total[last] - total[first]) / np.maximum(voiced[last] - voiced[first], 1)
        if file is not None:
            np.save(file, means)
        return list(zip(ends.tolist(), means.tolist(), strict=True))

    def _log(self, frames: Floats, means: Floats) -> Any:
        precise = 1 / self._variances
        constant = np.log(self._weights) - 0.5 * (np.log(2 * np.pi * self._variances)).sum(axis=1)
        square = (frames**2) @ precise.T - 2 * frames @ (means * precise).T + (means**2 * precise).sum(axis=1)
        return constant - 0.5 * square


def mfcc(sound: Floats) -> Floats:
    """19 coefficients and their deltas, 25 ms every 10 ms: float32 [frames, 38]."""
    filters, window = mel_filters(_BANDS, _FRAME, RATE), np.hanning(_FRAME).astype(np.float32)
    order, band = np.arange(1, 20), np.arange(_BANDS)
    cosines = (np.sqrt(2 / _BANDS) * np.cos(np.pi * np.outer(band + 0.5, order) / _BANDS)).astype(np.float32)
    sound = np.append(sound[0], sound[1:] - 0.97 * sound[:-1])
    frames = np.lib.stride_tricks.sliding_window_view(sound, _FRAME)[::_STEP]
    found = []
    for k in range(0, len(frames), 4096):
        power = np.abs(np.fft.rfft(frames[k : k + 4096] * window, axis=1)) ** 2
        found.append(np.log(power.astype(np.float32) @ filters + 1e-10) @ cosines)
    plain = np.concatenate(found)
    padded = np.pad(plain, ((2, 2), (0, 0)), mode="edge")
    delta = (2 * (padded[4:] - padded[:-4]) + padded[3:-1] - padded[1:-3]) / 10
    return np.concatenate([plain, delta], axis=1).astype(np.float32)
