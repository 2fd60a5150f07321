"""Write a trained encoder as the program runs it: ONNX, weights in sixteen bits, computed in 32.

    python training/voices/export.py WORK/ge2e-room.npz models/ge2e-room.onnx

Eight bits for the second and third layer would halve the time once more. They change the vectors by little
(cosine 0.998), but on 32 rendered sessions two more reminders went to the wrong person.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from voice_facilitator.models.convert import LAYERS

UNITS = 256
# from the order of PyTorch (input, forget, cell, output) to ONNX's (input, output, forget, cell)
ORDER = np.r_[0:256, 768:1024, 256:512, 512:768]


def graph(arrays: dict[str, np.ndarray]) -> onnx.ModelProto:
    """In: mel [160, n, 40], steps int32 [n] (how many count, from the first). Out: vector [n, 256]."""
    weights, nodes, x = [numpy_helper.from_array(np.array([1], np.int64), "direction")], [], "mel"

    def add(parts: dict[str, np.ndarray]) -> None:
        for name, value in parts.items():
            weights.append(numpy_helper.from_array(value.astype(np.float16), f"{name}_16"))
            nodes.append(helper.make_node("Cast", [f"{name}_16"], [name], to=TensorProto.FLOAT))

    for k in range(LAYERS):
        parts = {
            f"W{k}": arrays[f"input{k}"].T[ORDER][None],
            f"R{k}": arrays[f"hidden{k}"].T[ORDER][None],
            f"B{k}": np.concatenate([arrays[f"bias{k}"][ORDER], np.zeros(4 * UNITS)])[None],
        }
        add(parts)
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
    add({name: arrays[name] for name in ("linear", "linear_bias")})
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
    onnx.save(model, options.out)


if __name__ == "__main__":
    main()
