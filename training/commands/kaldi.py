"""The few file formats of Kaldi and OpenFst that a Vosk model needs, written with numpy and struct alone.

A token is text and a space; int32 and float carry their size (4) before them, double carries 8; a vector
is `FV`, a matrix with 16 bits a number `CM2`. OpenFst's `vector` type holds the graphs. `read_network` reads
what `write_model` wrote.
"""

from __future__ import annotations

import math
import re
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np

FST_MAGIC = 2125659606
INFINITE = math.inf
_LEVELS = 65_535


class Layer(NamedTuple):
    """One convolution as an affine map of frames at `offsets`, with a ReLU after all but the last."""

    offsets: list[int]
    weights: np.ndarray  # float32 (out, offsets * in)
    bias: np.ndarray  # float32 (out,)


class Arc(NamedTuple):
    input: int
    output: int
    weight: float
    target: int


class _Writer:
    def __init__(self) -> None:
        self.data = bytearray(b"\0B")

    def token(self, text: str) -> None:
        self.data += text.encode() + b" "

    def text(self, text: str) -> None:
        self.data += text.encode()

    def integer(self, value: int) -> None:
        self.data += struct.pack("<bi", 4, value)

    def single(self, value: float) -> None:
        self.data += struct.pack("<bf", 4, value)

    def double(self, value: float) -> None:
        self.data += struct.pack("<bd", 8, value)

    def integers(self, values: list[int]) -> None:
        self.data += struct.pack("<bi", 4, len(values)) + np.asarray(values, "<i4").tobytes()

    def vector(self, values: np.ndarray) -> None:
        self.token("FV")
        self.integer(len(values))
        self.data += np.ascontiguousarray(values, "<f4").tobytes()

    def matrix(self, values: np.ndarray) -> None:
        """In sixteen bits, which halves the model and costs nothing that can be measured."""
        self.token("CM2")
        least, span = float(values.min()), float(np.ptp(values))
        self.data += struct.pack("<ffii", least, span, *values.shape)
        self.data += np.rint((values - least) / span * _LEVELS).astype("<u2").tobytes()


def write_model(path: Path, pdf_of_phone: list[int], layers: list[Layer], stay: float) -> None:
    """`am/final.mdl`: phones from 1 with one emitting state each (transition 2k-1 stays, 2k leaves)."""
    out = _Writer()
    phones = list(range(1, len(pdf_of_phone) + 1))
    out.token("<TransitionModel>")
    out.token("<Topology>")
    out.integers(phones)
    out.integers([-1] + [0] * len(phones))
    out.integer(1)  # one topology: an emitting state with two ways on, and the final one
    out.integer(2)
    for number in (0, 2, 0):
        out.integer(number)
    out.single(stay)
    out.integer(1)
    out.single(1 - stay)
    out.integer(-1)
    out.integer(0)
    out.token("</Topology>")
    out.token("<Triples>")
    out.integer(len(phones))
    for phone, pdf in zip(phones, pdf_of_phone, strict=True):
        for number in (phone, 0, pdf):
            out.integer(number)
    out.token("</Triples>")
    out.token("<LogProbs>")
    out.vector(np.array([0.0] + [math.log(stay), math.log(1 - stay)] * len(phones)))
    out.token("</LogProbs>")
    out.token("</TransitionModel>")
    _write_network(out, layers)
    context = sum(max(layer.offsets) for layer in layers)
    out.token("<LeftContext>")
    out.integer(context)
    out.token("<RightContext>")
    out.integer(context)
    out.token("<Priors>")
    out.vector(np.zeros(0))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(out.data))


def _write_network(out: _Writer, layers: list[Layer]) -> None:
    inputs = layers[0].weights.shape[1] // len(layers[0].offsets)
    lines, names, before = [f"input-node name=input dim={inputs}"], [], "input"
    for number, layer in enumerate(layers, 1):
        frames = [before if not offset else f"Offset({before}, {offset})" for offset in layer.offsets]
        source = f"Append({', '.join(frames)})" if len(frames) > 1 else before
        after = "softmax" if number == len(layers) else "relu"
        for kind, of in (("affine", source), (after, f"layer{number}.affine")):
            names.append(f"layer{number}.{kind}")
            lines.append(f"component-node name={names[-1]} component={names[-1]} input={of}")
        before = names[-1]
    lines.append(f"output-node name=output input={before} objective=linear")
    out.token("<Nnet3>")
    out.text("\n" + "".join(line + "\n" for line in lines) + "\n")
    out.token("<NumComponents>")
    out.integer(len(names))
    for number, name in enumerate(names):
        layer = layers[number // 2]
        out.token("<ComponentName>")
        out.token(name)
        if name.endswith("affine"):
            out.token("<FixedAffineComponent>")
            out.token("<LinearParams>")
            out.matrix(layer.weights)
            out.token("<BiasParams>")
            out.vector(layer.bias)
            out.token("</FixedAffineComponent>")
        else:
            kind = "LogSoftmaxComponent" if name.endswith("softmax") else "RectifiedLinearComponent"
            out.token(f"<{kind}>")
            out.token("<Dim>")
            out.integer(len(layer.bias))
            for statistic in ("<ValueAvg>", "<DerivAvg>"):
                out.token(statistic)
                out.vector(np.zeros(0))
            out.token("<Count>")
            out.double(0.0)
            out.token(f"</{kind}>")
    out.token("</Nnet3>")


def read_network(path: Path) -> list[Layer]:
    """The layers of a model that `write_model` made."""
    data = path.read_bytes()
    start = data.index(b"<Nnet3> ")
    text = data[start : data.index(b"<NumComponents>", start)].decode()
    sources = re.findall(r"component-node name=\S+affine component=\S+ input=(.*)", text)
    layers, at = [], start
    for source in sources:
        frames = re.findall(r"Offset\([\w.]+, (-?\d+)\)|[a-z][\w.]*", source.removeprefix("Append("))
        offsets = [int(offset or 0) for offset in frames]
        at = data.index(b"<LinearParams> CM2 ", at) + len(b"<LinearParams> CM2 ")
        least, span, rows, columns = struct.unpack("<ffii", data[at : at + 16])
        at += 16
        levels = np.frombuffer(data, "<u2", rows * columns, at).reshape(rows, columns)
        at = data.index(b"<BiasParams> FV ", at + 2 * rows * columns) + len(b"<BiasParams> FV ") + 5
        weights = (least + span / _LEVELS * levels).astype(np.float32)
        layers.append(Layer(offsets, weights, np.frombuffer(data, "<f4", rows, at)))
    return layers


def write_fst(path: Path, arcs: list[list[Arc]], start: int, final: dict[int, float]) -> None:
    """arcs: those of each state; final: cost of ending in a state."""
    out = bytearray(struct.pack("<i", FST_MAGIC))
    for kind in (b"vector", b"standard"):
        out += struct.pack("<i", len(kind)) + kind
    out += struct.pack("<iiQqqq", 2, 0, 3, start, len(arcs), sum(map(len, arcs)))
    for state, leaving in enumerate(arcs):
        out += struct.pack("<fq", final.get(state, INFINITE), len(leaving))
        out += b"".join(struct.pack("<iifi", *arc) for arc in leaving)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(out))
