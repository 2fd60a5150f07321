"""Detection curves of the decision and of the baselines, and what the baselines reach."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.presenter import baselines
from benchmarks.presenter.counts import Bench, Counts, Heard, of
from benchmarks.presenter.frames import Analysed, Session
from voice_facilitator.session.events import Enrolment, PresenterEvidence

# Of cosine: what the makers' configuration of CAM++ calls the same speaker. It belongs to their Chinese
# network; none was found for the Chinese and English one, which this is.
EXAMPLE_THRESHOLD = 0.31
STRENGTHS = (
    0.1,
    0.4,
    0.6,
    0.8,
    1,
    1.2,
    1.4,
    1.7,
    2,
    2.3,
    2.6,
)  # evidence that counts as a flag, 1 as shipped
BASE_HEAD = "| | threshold | long flagged | mid flagged | false flags an hour |"


def by_threshold(session: Session, scores: baselines.Scores, hops: int, threshold: float) -> Heard:
    """A baseline: the mean of the last `hops` windows against a fixed threshold."""
    result, run, began, before = Heard(session), [], None, -9.0
    for at, score in scores:
        run = [*run[1 - hops :], score] if at - before < 1 else [score]
        high = len(run) == hops and sum(run) / hops >= threshold
        began = (at - 1.6 if began is None else began) if high else None
        seconds = at - began if began is not None else 0.0
        result.evidence.append((at, PresenterEvidence(float(high), seconds), Enrolment.READY))
        before = at
    return result


def baseline_curves(
    bench: Bench,
    sessions: list[Session],
    analysed: dict[str, Analysed],
    options: Any,
) -> dict[str, list[Counts]]:
    found: dict[str, list[tuple[Session, baselines.Scores, int]]] = {}
    found["cosine"] = [
        (s, baselines.cosine_of(*analysed[s.name].windows, s.phase("presentation")), 4) for s in sessions
    ]
    if options.gmm:
        casts = set().union(*(s.cast for s in sessions))
        gmm = baselines.Gmm(options.speech, casts, options.cache)
        found["GMM-UBM"] = [(s, gmm.scores(s, analysed[s.name]), 4) for s in sessions]
    curves = {}
    for name, methods in found.items():
        spans = [session.phase("discussion") for session, _, _ in methods]
        values = np.array(
            [
                score
                for (begin, end), (_, scores, _) in zip(spans, methods, strict=True)
                for at, score in scores
                if begin <= at <= end
            ]
        )
        borders = [*np.quantile(values, [0.6, 0.8, 0.86, 0.9, *np.arange(0.92, 0.9951, 0.01), 0.997, 0.999])]
        if name == "cosine":
            borders.append(EXAMPLE_THRESHOLD)
        curves[name] = []
        for border in sorted(borders):
            counts = bench.count(
                [by_threshold(s, scores, hops, border) for s, scores, hops in methods], frames=False
            )
            counts.threshold = float(border)
            curves[name].append(counts)
    return curves


def baseline_rows(curves: dict[str, list[Counts]]) -> Iterable[str]:
    """The example's threshold; the best thresholds, known afterwards, at 2 and 0.5 false flags an hour."""
    for name, points in curves.items():
        chosen = [(f"best at {limit} an hour", best(points, limit)) for limit in (2, 0.5)]
        if name == "cosine":
            chosen.insert(0, ("the example's", next(p for p in points if p.threshold == EXAMPLE_THRESHOLD)))
        for which, counts in chosen:
            if counts is not None:
                value = counts.threshold
                told = which if value is None else f"{which}: {value:.2f}"
                number, hours = counts.false()
                cells = (of(*counts.flagged("long")), of(*counts.flagged("mid")), f"{number / hours:.1f}")
                yield f"| {name} | {told} | " + " | ".join(cells) + " |"


def best(points: list[Counts], limit: float) -> Counts | None:
    allowed = [p for p in points if p.false()[0] / p.false()[1] <= limit]
    return min(allowed, key=lambda p: (p.missed(), p.false()[0])) if allowed else None


def draw(curves: dict[str, list[Counts]], out: Path) -> None:
    import matplotlib  # noqa: PLC0415

    matplotlib.use("Agg")
    from matplotlib import pyplot  # noqa: PLC0415

    figure, axes = pyplot.subplots(figsize=(7, 4.2), dpi=110)
    for (name, points), mark in zip(curves.items(), "osv^", strict=False):
        x = [p.false()[0] / p.false()[1] for p in points]
        y = [100 * p.missed() for p in points]
        axes.plot(x, y, marker=mark, markersize=4, linewidth=1.2, label=name)
    axes.set_xscale("symlog", linthresh=0.5)
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 100)
    axes.set_xticks([0, 0.5, 1, 2, 5, 10, 20, 50, 100], ["0", "0.5", "1", "2", "5", "10", "20", "50", "100"])
    axes.set_xlabel("false flags in an hour of discussion")
    axes.set_ylabel("mid and long intrusions missed, %")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(out)
