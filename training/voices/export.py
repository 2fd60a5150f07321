"""Write a trained encoder as the program runs it: ONNX, the second and third layer in eight bits.

    python training/voices/export.py WORK/ge2e-room.npz models/ge2e-room.onnx

The weights are read 160 times for each window, so a network that fits into the processor's nearest memory
runs several times as fast. The first layer stays as it is: mel power spans eight decades, which eight bits
cannot hold (in eight bits its vectors point elsewhere: cosine 0.56 to the original's). With the other two in
eight bits the cosine is 0.9975 over windows of rendered rooms.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from voice_facilitator.models.convert import LAYERS

UNITS = 256
# from the order of PyTorch (input, forget, cell, output) to ONNX's (input, output, forget, cell)
ORDER = np.r_[0:256, 768:1024, 256:512, 512:768]


def graph(arrays: dict[str, np.ndarray]) -> onnx.ModelProto:
    """In: mel [160, n, 40], steps int32 [n] (how many count, from the first). Out: vector [n, 256]."""
    weights, nodes, x = [numpy_helper.from_array(np.array([1], np.int64), "direction")], [], "mel"
    for k in range(LAYERS):
        parts = {
            f"W{k}": arrays[f"input{k}"].T[ORDER][None],
            f"R{k}": arrays[f"hidden{k}"].T[ORDER][None],
            f"B{k}": np.concatenate([arrays[f"bias{k}"][ORDER], np.zeros(4 * UNITS)])[None],
        }
        weights += [numpy_helper.from_array(v.astype(np.float32), name) for name, v in parts.items()]
        nodes.append(
            helper.make_node(
                "LSTM", [x, f"W{k}", f"R{k}", f"B{k}", "steps"], [f"all{k}", f"last{k}"],
                name=f"layer{k}", hidden_size=UNITS,
            )
        )  # fmt: skip
        nodes.append(helper.make_node("Squeeze", [f"all{k}", "direction"], [f"x{k}"]))
        x = f"x{k}"
    nodes.pop()
    weights.append(numpy_helper.from_array(np.array([0], np.int64), "first"))
    for name in ("linear", "linear_bias"):
        weights.append(numpy_helper.from_array(arrays[name].astype(np.float32), name))
    nodes += [
        helper.make_node("Squeeze", [f"last{LAYERS - 1}", "first"], ["last"]),
        helper.make_node("Gemm", ["last", "linear", "linear_bias"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["positive"]),
        helper.make_node("LpNormalization", ["positive"], ["vector"], axis=1, p=2),
    ]
    return helper.make_model(
        helper.make_graph(
            nodes,
            "voice encoder",
            [
                helper.make_tensor_value_info("mel", TensorProto.FLOAT, ["steps_at_most", "n", 40]),
                helper.make_tensor_value_info("steps", TensorProto.INT32, ["n"]),
            ],
            [helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["n", 256])],
            weights,
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=9,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("arrays", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    with np.load(options.arrays) as archive:
        model = graph({key: archive[key].astype(np.float32) for key in archive.files})
    onnx.checker.check_model(model)
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "float.onnx"
        onnx.save(model, whole)
        layers = [f"layer{k}" for k in range(1, LAYERS)]
        quantize_dynamic(
            whole, options.out, weight_type=QuantType.QInt8, per_channel=True, nodes_to_quantize=layers
        )


if __name__ == "__main__":
    main()
