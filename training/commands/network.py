"""Step 3: train the network, a time-delay network over MFCC with one output for each phone.

    python training/commands/network.py WORK/train.npz --out WORK/network.pt --epochs 4
    python training/commands/network.py WORK/train.npz --out WORK/network.pt --start models/commands-en ...

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
from kaldi import Layer, read_network
from sound import CEPSTRA, STEP
from torch import Tensor, nn
from torch.nn import functional
from vocabulary import PDFS

# (kernel, dilation in frames of 10 ms); the second layer takes every third frame
LAYERS = ((5, 1), (3, 1), (3, 3), (3, 3), (3, 3), (3, 3), (3, 3))
CHUNK = 240  # frames of 10 ms
STAY = 0.5  # probability of staying in a phone for another 30 ms


class Network(nn.Module):
    """float (batch, frames + 2 * reach, CEPSTRA) → (batch, frames / STEP, PDFS)."""

    reach = sum((kernel - 1) // 2 * dilation for kernel, dilation in LAYERS)

    def __init__(self, width: int) -> None:
        super().__init__()
        sizes = [CEPSTRA, *[width] * len(LAYERS)]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(a, b, kernel) for a, b, (kernel, _) in zip(sizes, sizes[1:], LAYERS, strict=False)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in LAYERS)
        self.out = nn.Linear(width, PDFS)
        self.dropout = nn.Dropout(0.1)
        self.register_buffer("mean", torch.zeros(CEPSTRA))
        self.register_buffer("deviation", torch.ones(CEPSTRA))

    def forward(self, features: Tensor) -> Tensor:
        x = ((features - self.mean) / self.deviation).transpose(1, 2)
        for number, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            # after the second layer only every third frame is left, so neighbours are one step apart
            x = functional.conv1d(x, convolution.weight, convolution.bias, stride=STEP if number == 1 else 1)
            x = self.dropout(norm(torch.relu(x)))
        return self.out(x.transpose(1, 2))

    @torch.no_grad()
    def start_from(self, layers: list[Layer], features: Tensor) -> None:
        """Do what an earlier, narrower and perhaps shallower network does; what is new begins without effect.

        features: a batch, by which the normalisations are set so that they change nothing at first.
        """
        x = (features - self.mean).div(self.deviation).transpose(1, 2)
        for number, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            weights, bias = convolution.weight, convolution.bias
            if number < len(layers) - 1:
                rows, columns = (
                    layers[number].bias.shape[0],
                    layers[number].weights.shape[1] // weights.shape[2],
                )
                known = torch.from_numpy(layers[number].weights.copy()).view(rows, weights.shape[2], columns)
                known_bias = torch.from_numpy(layers[number].bias.copy())
                if number == 0:  # the earlier network has its own scale of features folded in
                    known_bias = known_bias + torch.einsum("okc,c->o", known, self.mean)
                    known = known * self.deviation
                elif columns < weights.shape[1]:
                    weights[:rows, columns:] = 0
                weights[:rows, :columns] = known.permute(0, 2, 1)
                bias[:rows] = known_bias
            else:  # a further layer hands on what it gets
                weights[:rows] = 0
                weights[range(rows), range(rows), weights.shape[2] // 2] = 1.0
                bias[:rows] = 0
            x = torch.relu(functional.conv1d(x, weights, bias, stride=STEP if number == 1 else 1))
            norm.running_mean.copy_(x.mean((0, 2)))
            norm.running_var.copy_(x.var((0, 2)))
            norm.bias.copy_(norm.running_mean)
            norm.weight.copy_(torch.sqrt(norm.running_var + norm.eps))
        self.out.weight[:, rows:] = 0
        self.out.weight[:, :rows] = torch.from_numpy(layers[-1].weights.copy())
        self.out.bias.copy_(torch.from_numpy(layers[-1].bias.copy()))


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
    """Mean loss of a frame; labels (batch, frames), -1 where there is none (then anything goes)."""
    batch, frames, _ = logits.shape
    allowed = torch.zeros(batch, frames, PDFS + 1, dtype=torch.bool)
    for shift in (-1, 0, 1):
        near = labels.roll(shift, 1).clone()
        if shift:
            near[:, 0 if shift > 0 else -1] = labels[:, 0 if shift > 0 else -1]
        allowed.scatter_(2, torch.where(near < 0, PDFS, near).unsqueeze(2), True)
    allowed = allowed[:, :, :PDFS] | (labels < 0).unsqueeze(2)
    emissions = functional.log_softmax(logits, 2)
    both = torch.cat([emissions.masked_fill(~allowed, -60.0), emissions])
    numerator, denominator = path_score(both, transitions).chunk(2)
    return (denominator - numerator).mean() / frames


def chunks(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Features float16 (n, CHUNK + 2 * reach, CEPSTRA) and labels int8 (n, CHUNK)."""
    stored = np.load(path)
    features, labels, lengths = stored["features"], stored["labels"], stored["lengths"]
    reach, at, xs, ys = Network.reach, 0, [], []
    for length in lengths:
        x, y = features[at : at + length], labels[at : at + length]
        at += length
        if length < 30:
            continue
        missing = -length % CHUNK
        x = np.concatenate([x[:1].repeat(reach, 0), x, x[-1:].repeat(reach + missing, 0)])
        y = np.concatenate([y, np.full(missing, -1, np.int8)])
        for start in range(0, length, CHUNK):
            if start == 0 or length - start >= 60:
                xs.append(x[start : start + CHUNK + 2 * reach])
                ys.append(y[start : start + CHUNK])
    return np.stack(xs), np.stack(ys)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("features", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=float, default=4)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=2.5e-3, help="highest learning rate")
    parser.add_argument(
        "--frames-only", type=float, default=0.5, help="share of the training before the sequence loss"
    )
    parser.add_argument("--start", type=Path, help="go on from this model folder")
    parser.add_argument("--minutes", type=float, default=math.inf, help="plan the training to fit this time")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    x, y = (np.concatenate(parts) for parts in zip(*map(chunks, options.features), strict=True))
    print(f"{len(x)} chunks of {CHUNK / 100} s", flush=True)
    network = Network(options.width)
    sample = x[rng.integers(0, len(x), 1000)].reshape(-1, CEPSTRA).astype(np.float32)
    network.mean.copy_(torch.from_numpy(sample.mean(0)))
    network.deviation.copy_(torch.from_numpy(sample.std(0) + 1e-3))
    if options.start is not None:
        batch = torch.from_numpy(x[rng.integers(0, len(x), 128)].astype(np.float32))
        network.start_from(read_network(options.start / "am" / "final.mdl"), batch)
    transitions = log_transitions(y[:, ::STEP].ravel()[y[:, ::STEP].ravel() >= 0])
    optimizer = torch.optim.AdamW(network.parameters(), lr=options.rate, weight_decay=1e-3)
    steps = int(len(x) / options.batch * options.epochs)
    network.train()
    order: list[int] = []
    began, step, seen = time.monotonic(), 0, np.zeros(4)
    progress = 0.0
    while progress < 1:
        # by steps or by the clock, whichever is further on: a busy machine then trains less, not longer
        progress = max(step / steps, (time.monotonic() - began) / 60 / options.minutes)
        warm = 0.1 if options.start is None else 0.02
        factor = (
            progress / warm
            if progress < warm
            else 0.5 * (1 + math.cos(math.pi * (progress - warm) / (1 - warm)))
        )
        for group in optimizer.param_groups:
            group["lr"] = options.rate * max(factor, 0.005)
        if len(order) < options.batch:
            order = list(rng.permutation(len(x)))
        picked = [order.pop() for _ in range(options.batch)]
        shift = int(rng.integers(STEP))  # any 10 ms may be where the decoder begins
        features = torch.from_numpy(
            x[picked, shift : x.shape[1] - (STEP if shift else 0) + shift].astype(np.float32)
        )
        labels = torch.from_numpy(y[picked, shift::STEP].astype(np.int64))
        logits = network(features)
        labels = labels[:, : logits.shape[1]]
        frame_loss = functional.cross_entropy(
            logits.reshape(-1, PDFS), labels.reshape(-1), ignore_index=-1, label_smoothing=0.05
        )
        loss = frame_loss
        if progress > options.frames_only:
            sequence = sequence_loss(logits, labels, transitions)
            loss = 0.3 * frame_loss + 2.0 * sequence
            seen[2] += sequence.item()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimizer.step()
        with torch.no_grad():
            valid = labels >= 0
            right = ((logits.argmax(2) == labels) & valid).sum() / valid.sum()
        seen += [frame_loss.item(), right.item(), 0, 1]
        step += 1
        if step % 50 == 0:
            print(
                f"{progress:.3f} step {step} of {steps}: frame loss {seen[0] / seen[3]:.3f}, "
                f"right {seen[1] / seen[3]:.3f}, sequence {seen[2] / seen[3]:.4f}, "
                f"{time.monotonic() - began:.0f} s",
                flush=True,
            )
            seen[:] = 0
        if step % 400 == 0:
            save(network, transitions, options)
    save(network, transitions, options)


def save(network: Network, transitions: Tensor, options: argparse.Namespace) -> None:
    torch.save(
        {"state": network.state_dict(), "width": options.width, "transitions": transitions}, options.out
    )


if __name__ == "__main__":
    main()
