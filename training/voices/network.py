"""Train the published speaker encoder further on the windows of `rooms.py`; write it for `export.py`.

    python training/voices/network.py WORK/windows.npz --minutes 120 --out WORK/ge2e-room.npz

All weights move. Loss: GE2E softmax (Wan et al. 2018) with an additive margin, one threshold for all voices
(logistic loss of every pair in the batch), and a pull towards the published network's vector of the dry
window, so that unknown voices do not fold together. What is written is 0.7 of the trained weights and 0.3 of
the published ones (such a mean generalises better: Wortsman et al. 2022), float16. Voices in `held_out` are
never trained on; their equal error rate is printed before and after.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from voice_facilitator.models import load_manifest
from voice_facilitator.models.convert import LAYERS, npz_bytes

VOICES, WINDOWS = 16, 4  # in a batch
MARGIN, PAIR_WEIGHT, PULL = 0.1, 0.5, 1.5
LEARNING_RATE = 2e-4
SHARE = 0.7
NEVER = ("libri-test-other/", "ljspeech/")
EVERY = 6  # every sixth other voice is held out too


class Network(nn.Module):
    """Three LSTM layers of 256 and a linear one, as in `hearing/encoder.py`."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        super().__init__()
        self.lstm = nn.LSTM(40, 256, LAYERS, batch_first=True)
        self.linear = nn.Linear(256, 256)
        with torch.no_grad():
            for k in range(LAYERS):
                for ours, theirs in (("input", "weight_ih"), ("hidden", "weight_hh")):
                    value = torch.from_numpy(arrays[f"{ours}{k}"].T.astype(np.float32).copy())
                    getattr(self.lstm, f"{theirs}_l{k}").copy_(value)
                getattr(self.lstm, f"bias_ih_l{k}").copy_(
                    torch.from_numpy(arrays[f"bias{k}"].astype(np.float32))
                )
                getattr(self.lstm, f"bias_hh_l{k}").zero_().requires_grad_(False)
            self.linear.weight.copy_(torch.from_numpy(arrays["linear"].T.astype(np.float32).copy()))
            self.linear.bias.copy_(torch.from_numpy(arrays["linear_bias"].astype(np.float32)))

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        return functional.normalize(torch.relu(self.linear(self.lstm(mel)[0][:, -1])), dim=1, eps=1e-6)

    def arrays(self) -> dict[str, np.ndarray]:
        found = {"linear": self.linear.weight.T, "linear_bias": self.linear.bias}
        for k in range(LAYERS):
            found[f"input{k}"] = getattr(self.lstm, f"weight_ih_l{k}").T
            found[f"hidden{k}"] = getattr(self.lstm, f"weight_hh_l{k}").T
            found[f"bias{k}"] = getattr(self.lstm, f"bias_ih_l{k}")
        return {name: value.detach().numpy().copy() for name, value in found.items()}


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
    with np.load(load_manifest().find("ge2e").path()) as archive:
        published = {key: archive[key].astype(np.float32) for key in archive.files}
    original, network = Network(published).eval(), Network(published)
    held = held_out(names)
    trained = [k for k, name in enumerate(names) if name.split("@")[0] not in held]
    rows = {k: np.flatnonzero((voice == k) & ~dry) for k in trained}
    dry_of = np.maximum.accumulate(
        np.where(dry, np.arange(len(dry)), 0)
    )  # each version follows its dry window
    tested = np.isin(voice, [k for k, name in enumerate(names) if name in held]) & ~dry
    print(f"{len(trained)} voices to train on, {len(held)} people held out", flush=True)
    print(
        f"equal error rate across rooms, published: {rate(original, mel[tested], voice[tested]):.1f} %",
        flush=True,
    )

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
        batch = np.concatenate([rng.choice(rows[k], WINDOWS) for k in chosen])
        x = coloured(rng, torch.from_numpy(mel[batch].astype(np.float32)))
        with torch.no_grad():
            target = original(torch.from_numpy(mel[dry_of[batch]].astype(np.float32)))
        optimiser.param_groups[0]["lr"] = (
            LEARNING_RATE * min(1, step / 40) * max(0.05, min(1, 2 * (1 - share)))
        )
        vector = network(x)
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
            kept[key].mul_(keep).add_(value, alpha=1 - keep)
        if time.monotonic() - told > 60:
            told = time.monotonic()
            print(f"step {step}, {100 * share:.0f} %, loss {loss.item():.2f}", flush=True)
    network.load_state_dict(kept)
    arrays = {key: SHARE * value + (1 - SHARE) * published[key] for key, value in network.arrays().items()}
    final = Network(arrays).eval()
    print(f"after {step} steps: {rate(final, mel[tested], voice[tested]):.1f} %")
    options.out.write_bytes(npz_bytes({key: value.astype(np.float16) for key, value in arrays.items()}))


def coloured(rng: np.random.Generator, mel: torch.Tensor) -> torch.Tensor:
    """A smooth colour of its own for each window, and at times only a part of it: short windows occur too."""
    points = [
        np.interp(np.arange(40), [0, 8, 16, 24, 32, 39], rng.normal(0, 2.0, 6)) for _ in range(len(mel))
    ]
    mel = mel * torch.from_numpy(10 ** (np.stack(points) / 10)).float()[:, None]
    length = int(rng.integers(60, 161)) if rng.random() < 0.5 else 160
    return mel[:, -length:]


def rate(network: Network, mel: np.ndarray, voice: np.ndarray) -> float:
    """Equal error rate in percent over pairs of windows, each in a room of its own."""
    with torch.no_grad():
        parts = [
            network(torch.from_numpy(mel[k : k + 64].astype(np.float32))) for k in range(0, len(mel), 64)
        ]
    rows = torch.cat(parts).numpy()
    close, same = rows @ rows.T, voice[:, None] == voice[None]
    apart = np.triu(np.ones_like(same), 1)
    yes, no = close[same & apart], close[~same & apart]
    borders = np.quantile(yes, np.linspace(0, 1, 1001))
    miss, false = np.linspace(0, 1, 1001), 1 - np.searchsorted(np.sort(no), borders) / len(no)
    k = int(np.abs(miss - false).argmin())
    return float(50 * (miss[k] + false[k]))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("windows", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
