"""Planning the time: the session ends when it should, the discussion gives, the last word never does."""

from __future__ import annotations

from collections.abc import Sequence

from voice_facilitator.session.events import Seconds
from voice_facilitator.session.protocol import Elasticity, Phase


def fit(phases: Sequence[Phase], budget: Seconds) -> list[Seconds]:
    """Lengths in seconds for `phases` that add up to `budget` as well as their rules allow.

    Time left over goes to the flexible phases; without one the phases keep their own lengths and the sum
    is less than the budget. Missing time is taken from the flexible phases, then from the elastic ones,
    each down to its least length; the protected ones give nothing, so the sum can exceed the budget.
    """
    lengths = [phase.seconds for phase in phases]
    difference = budget - sum(lengths)
    if difference >= 0:
        _spread(lengths, phases, difference, Elasticity.FLEXIBLE)
        return lengths
    for kind in (Elasticity.FLEXIBLE, Elasticity.ELASTIC):
        difference = _take(lengths, phases, difference, kind)
    return lengths


def _spread(lengths: list[Seconds], phases: Sequence[Phase], extra: Seconds, kind: Elasticity) -> None:
    chosen = [i for i, phase in enumerate(phases) if phase.elasticity is kind]
    total = sum(phases[i].seconds for i in chosen)
    for i in chosen:
        lengths[i] += extra * phases[i].seconds / total if total > 0 else 0.0


def _take(lengths: list[Seconds], phases: Sequence[Phase], missing: Seconds, kind: Elasticity) -> Seconds:
    """Shorten the phases of `kind` in proportion to what they can give; returns what is still missing."""
    chosen = [i for i, phase in enumerate(phases) if phase.elasticity is kind]
    can_give = sum(lengths[i] - phases[i].least_seconds for i in chosen)
    if missing >= 0 or can_give <= 0:
        return missing
    share = min(1.0, -missing / can_give)
    for i in chosen:
        lengths[i] -= share * (lengths[i] - phases[i].least_seconds)
    return missing + share * can_give


def squeeze(phases: Sequence[Phase], budget: Seconds) -> list[Seconds]:
    """Like `fit`, but never beyond the budget: where the rules do not suffice, all give in proportion."""
    budget = max(0.0, budget)
    lengths = fit(phases, budget)
    total = sum(lengths)
    return [length * budget / total for length in lengths] if total > budget else lengths


def remaining_after_pause(
    phase: Phase, elapsed: Seconds, remaining: Seconds, later: Sequence[Phase], until_end: Seconds
) -> Seconds:
    """Seconds left in the running phase when the session goes on after a pause.

    Only a flexible phase pays for the pause, and never below its least length (or what was left of it).
    `until_end`: seconds from now to the planned end of the session.
    """
    if phase.elasticity is not Elasticity.FLEXIBLE:
        return remaining
    keeps = min(remaining, max(phase.least_seconds - elapsed, 60.0))
    available = until_end - sum(other.seconds for other in later)
    return min(remaining, max(available, keeps))
