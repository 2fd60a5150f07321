"""Step 3: train the network, a time-delay network over MFCC with one output for each phone.

    python -m training.commands.network WORK/train.npz --out WORK/network.pt --minutes 9

Every batch is heard in rooms and noises made for it (`rooms.py`), so no two are alike. A GPU does in ten
minutes what takes a processor many hours.

The first part of the training is frame cross-entropy. Then a sequence criterion joins it (maximum mutual
information, Povey et al. 2016, with phone bigrams): the score of the paths that agree with the labels to
within 30 ms, against that of all paths through any phones. The decoder compares the same.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from training.commands.rooms import CEPSTRA, Rooms

PDFS = 40  # phones and silence, as in vocabulary.py
STEP = 3  # frames of 10 ms to one output
# (kernel, dilation in frames of 10 ms); the second layer takes every third frame
LAYERS = ((5, 1), (3, 1), (3, 3), (3, 3), (3, 3), (3, 3), (3, 6), (3, 6), (3, 9), (3, 9))
CHUNK = 240  # frames of 10 ms
STAY = 0.5  # probability of staying in a phone for another 30 ms


class Network(nn.Module):
    """float (batch, frames + 2 * reach, CEPSTRA) → (batch, frames / STEP, PDFS)."""

    reach = sum((kernel - 1) // 2 * dilation for kernel, dilation in LAYERS)

    def __init__(self, width: int) -> None:
        super().__init__()
        sizes = [CEPSTRA, *[width] * len(LAYERS)]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(a, b, kernel, stride=STEP if number == 1 else 1, dilation=max(1, dilation // STEP))
            for number, (a, b, (kernel, dilation)) in enumerate(zip(sizes, sizes[1:], LAYERS, strict=False))
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in LAYERS)
        self.out = nn.Linear(width, PDFS)
        self.dropout = nn.Dropout(0.1)
        self.register_buffer("mean", torch.zeros(CEPSTRA))
        self.register_buffer("deviation", torch.ones(CEPSTRA))

    def forward(self, features: Tensor) -> Tensor:
        x = ((features - self.mean) / self.deviation).transpose(1, 2)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = self.dropout(norm(torch.relu(convolution(x))))
        return self.out(x.transpose(1, 2))


def log_transitions(labels: np.ndarray) -> Tensor:
    """log P(phone at the next 30 ms | phone), (PDFS, PDFS), from which phones follow which in the labels."""
    before, after = labels[:-1], labels[1:]
    change = before != after
    counts = np.full((PDFS, PDFS), 2.0)
    np.add.at(counts, (before[change].astype(int), after[change].astype(int)), 1)
    following = counts / counts.sum(1, keepdims=True)
    return torch.from_numpy(np.log((1 - STAY) * following + STAY * np.eye(PDFS)).astype(np.float32))


def path_score(emissions: Tensor, transitions: Tensor) -> Tensor:
    """log sum over all paths through (batch, frames, PDFS)."""
    step = transitions.exp()
    alpha = emissions[:, 0]
    for frame in range(1, emissions.shape[1]):
        top = alpha.amax(1, keepdim=True)
        alpha = top + torch.log((alpha - top).exp() @ step + 1e-30) + emissions[:, frame]
    return torch.logsumexp(alpha, 1)


def sequence_loss(logits: Tensor, labels: Tensor, transitions: Tensor) -> Tensor:
    """Mean loss of a frame; labels int64 (batch, frames)."""
    batch, frames, _ = logits.shape
    allowed = torch.zeros(batch, frames, PDFS, dtype=torch.bool, device=logits.device)
    for shift in (-1, 0, 1):
        near = labels.roll(shift, 1).clone()
        if shift:
            near[:, 0 if shift > 0 else -1] = labels[:, 0 if shift > 0 else -1]
        allowed.scatter_(2, near.unsqueeze(2), True)
    emissions = functional.log_softmax(logits, 2)
    both = torch.cat([emissions.masked_fill(~allowed, -60.0), emissions])
    numerator, denominator = path_score(both, transitions).chunk(2)
    return (denominator - numerator).mean() / frames


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("speech", type=Path, help="WORK/train.npz")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=9, help="of training, whatever the machine")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--width", type=int, default=288)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rate", type=float, default=3e-3, help="highest learning rate")
    parser.add_argument(
        "--frames-only", type=float, default=0.6, help="share of the training before the sequence loss"
    )
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    device = torch.device(options.device)
    stored = dict(np.load(options.speech))
    rooms = Rooms(stored, device)
    network = Network(options.width).to(device)
    with torch.no_grad():
        sample = torch.cat([rooms.batch(64, CHUNK)[0].reshape(-1, CEPSTRA) for _ in range(8)])
        network.mean.copy_(sample.mean(0))
        network.deviation.copy_(sample.std(0) + 1e-3)
    transitions = log_transitions(stored["labels"][::STEP]).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=options.rate, weight_decay=1e-2)
    network.train()
    began, step, seen, spent = time.monotonic(), 0, torch.zeros(4, device=device), 0.0
    while (spent := time.monotonic() - began) < options.minutes * 60:
        progress = spent / 60 / options.minutes
        warm = 0.03
        falling = 0.5 * (1 + math.cos(math.pi * (progress - warm) / (1 - warm)))
        for group in optimizer.param_groups:
            group["lr"] = options.rate * max(progress / warm if progress < warm else falling, 0.002)
        with torch.no_grad():
            features, labels = rooms.batch(options.batch, CHUNK + 2 * Network.reach)
        labels = labels[:, Network.reach : Network.reach + CHUNK : STEP].contiguous()
        logits = network(features)
        frame_loss = functional.cross_entropy(
            logits.reshape(-1, PDFS), labels.reshape(-1), label_smoothing=0.05
        )
        loss, sequence = frame_loss, torch.zeros((), device=device)
        if progress > options.frames_only:
            sequence = sequence_loss(logits, labels, transitions)
            loss = 0.3 * frame_loss + 2.0 * sequence
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimizer.step()
        with torch.no_grad():
            right = (logits.argmax(2) == labels).float().mean()
            seen += torch.stack([frame_loss, right, sequence, torch.ones_like(right)])
        step += 1
        if step % 100 == 0:
            frame, right, sequence, count = seen.tolist()
            print(
                f"{progress:.3f} step {step}: frame loss {frame / count:.3f}, right {right / count:.3f}, "
                f"sequence {sequence / count:.4f}, {spent:.0f} s",
                flush=True,
            )
            seen.zero_()
        if step % 1000 == 0:
            save(network, transitions, options)
    save(network, transitions, options)


def save(network: Network, transitions: Tensor, options: argparse.Namespace) -> None:
    state = {name: value.cpu() for name, value in network.state_dict().items()}
    torch.save({"state": state, "width": options.width, "transitions": transitions.cpu()}, options.out)


if __name__ == "__main__":
    main()
