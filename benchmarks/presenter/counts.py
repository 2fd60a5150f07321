"""Counting what a method made of sessions with known truth: the real ladder, the corpus' own scorer."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from benchmarks.presenter.frames import Session
from voice_facilitator.app.setting_up import policy_of
from voice_facilitator.files.settings import Settings
from voice_facilitator.session import floor
from voice_facilitator.session.events import Enrolment, PresenterEvidence
from voice_facilitator.session.protocol import Policy
from voice_facilitator.session.state import Reminders

LIMITS = argparse.Namespace(collar=0.25, pause=0.6, grace=3.0)  # the scorer's defaults
LEAST_FRAMES = 200  # of the presenter (10 s), for a share of them to mean something
Event = dict[str, Any]

HEAD = (
    "| | sessions | long flagged | mid flagged | of these clear of overlap | short tolerated "
    "| median latency, s | "
    "false flags, check-in | false flags, none | spoken to a wrong person |"
)
FRAMES_HEAD = (
    "| | story % | questions % | discussion % | last word % | all % "
    "| presenter precision in the discussion % | "
    "recall % | unsure, % of speech |"
)


def rule(head: str) -> str:
    return "|" + "---|" * (head.count("|") - 1)


@dataclass(eq=False)
class Heard:
    """What one method made of one session."""

    session: Session
    speaker: list[Event] = field(default_factory=list)
    evidence: list[tuple[float, PresenterEvidence, Enrolment]] = field(default_factory=list)
    quality: Enrolment = Enrolment.NONE

    def levels(self, policy: Policy, wanted: Callable[[int], bool]) -> list[float]:
        """Times of the reminders that the ladder gives."""
        begin, end = self.session.phase("discussion")
        memory, found = Reminders(), []
        for at, evidence, quality in self.evidence:
            if begin <= at <= end:
                level = floor.level(evidence, memory, policy, now=at, phase_started=begin, enrolment=quality)
                if level == 2:
                    floor.spoken(memory, at)
                if wanted(level):
                    found.append(at)
        return found


@dataclass(eq=False)
class Counts:
    """Sums of the scorer's results over sessions."""

    results: list[dict[str, Any]]
    heard: list[Heard]
    threshold: float | None = None  # of a baseline

    def flagged(self, kind: str, overlapped: bool | None = None) -> tuple[int, int]:
        chosen = [
            i
            for r in self.results
            for i in r["intrusions"]
            if i["cls"] == kind and overlapped in (None, i["overlaps"])
        ]
        return sum(i["flagged"] for i in chosen), len(chosen)

    def latency(self) -> float:
        all_ = [
            i["latency"]
            for r in self.results
            for i in r["intrusions"]
            if i["flagged"] and i["cls"] != "short"
        ]
        return float(np.median(all_)) if all_ else float("nan")

    def false(self, rounds: bool | None = None) -> tuple[int, float]:
        """False flags and hours of discussion; with a check-in, without, or both."""
        chosen = [
            r for r, h in zip(self.results, self.heard, strict=True) if rounds in (None, h.session.has_round)
        ]
        return sum(len(r["false_flags"]) for r in chosen), sum(r["discussion_s"] for r in chosen) / 3600

    def missed(self) -> float:
        """Share of mid and long intrusions."""
        (a, n), (b, m) = self.flagged("mid"), self.flagged("long")
        return 1 - (a + b) / max(1, n + m)


class Bench:
    def __init__(self, scorer: Any, settings: Settings) -> None:
        self._scorer = scorer
        self._policy = policy_of(settings)

    def count(
        self,
        heard: list[Heard],
        strength: float = 1.0,
        wanted: Callable[[int], bool] = bool,
        *,
        frames: bool = True,
    ) -> Counts:
        """frames: count right frames too, which takes most of the time."""
        policy = replace(self._policy, screen_strength=strength * self._policy.screen_strength)
        results = []
        for h in heard:
            flags = [{"t": t, "event": "flag"} for t in h.levels(policy, wanted)]
            events = sorted([*h.speaker, *flags], key=lambda e: e["t"])
            truth = h.session.truth if frames else {**h.session.truth, "activity": []}
            results.append(self._scorer.score(truth, events, LIMITS))
        return Counts(results, heard)

    def row(self, name: str, heard: list[Heard]) -> str:
        """A line of the first table."""
        counts = self.count(heard)
        spoken = self.count(heard, wanted=lambda level: level == 2)
        right = sum(spoken.flagged(kind)[0] for kind in ("mid", "long"))
        cells = [
            of(*counts.flagged("long")),
            of(*counts.flagged("mid")),
            of(*counts.flagged("mid", False)),
            of(counts.flagged("short")[1] - counts.flagged("short")[0], counts.flagged("short")[1]),
            f"{counts.latency():.2f}",
            rate(*counts.false(True)),
            rate(*counts.false(False)),
            f"{spoken.false()[0]} ({right} right)",
        ]
        return f"| {name} | {len(heard)} | " + " | ".join(cells) + " |"

    def frames_row(self, name: str, heard: list[Heard]) -> str:
        """Right frames; precision and recall of the presenter in the discussion; share of unsure."""
        results = self.count(heard).results
        cells = []
        for phase in ("presentation", "questions", "discussion", "last_word", "ALL"):
            scored = [r["frames"][phase] for r in results]
            cells.append(f"{100 * sum(f['ok'] for f in scored) / sum(f['frames'] for f in scored):.1f}")
        sums = np.sum([r["frames"]["discussion"]["conf"] for r in results], axis=0)
        if sums[0].sum() < LEAST_FRAMES:
            cells += ["-", "-"]
        else:
            cells += [f"{100 * sums[0, 0] / n:.1f}" for n in (sums[:, 0].sum(), sums[0].sum())]
        unsure = speech = 0
        for h in heard:
            presenter, other, skip = self._scorer.truth_frames(h.session.truth, LIMITS.collar, LIMITS.pause)
            shown = self._scorer.hyp_frames(h.speaker, len(skip))
            spoken = (presenter | other) & ~skip
            unsure, speech = unsure + int((shown[spoken] == 3).sum()), speech + int(spoken.sum())
        return f"| {name} | " + " | ".join([*cells, f"{100 * unsure / speech:.1f}"]) + " |"


def of(part: int, whole: int) -> str:
    return f"{part}/{whole} ({100 * part / whole:.0f} %)" if whole else "-"


def rate(number: int, hours: float) -> str:
    return f"{number} in {hours:.2f} h ({number / hours:.1f}/h)" if hours else "-"
