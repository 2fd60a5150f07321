"""The encoder against a slow, independent reading of its definition."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from voice_facilitator.errors import FacilitatorError
from voice_facilitator.hearing.encoder import RATE, WINDOW_SAMPLES, Ge2eEncoder
from voice_facilitator.hearing.networks import NumpyNetwork
from voice_facilitator.models.convert import ge2e_arrays, npz_bytes
from voice_facilitator.resources import shipped

SHIPPED = shipped("models", "ge2e-room.onnx")


def random_weights(seed: int = 3) -> dict[str, np.ndarray]:
    """Weights as a checkpoint names them."""
    rng = np.random.default_rng(seed)

    def some(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.08, shape).astype(np.float32)

    weights = {"linear.weight": some(256, 256), "linear.bias": some(256)}
    for k in range(3):
        weights |= {
            f"lstm.weight_ih_l{k}": some(1024, 256 if k else 40),
            f"lstm.weight_hh_l{k}": some(1024, 256),
            f"lstm.bias_ih_l{k}": some(1024),
            f"lstm.bias_hh_l{k}": some(1024),
        }
    return weights


@pytest.fixture(scope="module")
def encoder() -> Ge2eEncoder:
    return Ge2eEncoder(NumpyNetwork(ge2e_arrays(random_weights())))


@pytest.fixture(scope="module", params=["arrays", "shipped"])
def any_encoder(request: pytest.FixtureRequest, encoder: Ge2eEncoder) -> Ge2eEncoder:
    """The two ways to run the network: arrays, and as it is shipped."""
    return encoder if request.param == "arrays" else Ge2eEncoder.load(SHIPPED)


def alike(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, atol=1e-4)


def noise(count: int, seed: int = 5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(0, 0.05, (count, WINDOW_SAMPLES)).astype(np.float32)


def reference(window: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
    """PyTorch's LSTM and librosa's mel bands, written out in double precision."""
    w = {name: value.astype(float) for name, value in weights.items()}
    x = window.astype(float) * 10 ** (-30 / 20) / np.sqrt(np.mean(window.astype(float) ** 2))
    x = np.pad(x, 200)
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    steps = len(window) // 160
    power = np.stack([np.abs(np.fft.rfft(x[160 * t : 160 * t + 400] * taper)) ** 2 for t in range(steps)])

    def hz(mel: float) -> float:
        return mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)

    top = 15 + 27 * np.log(8) / np.log(6.4)
    edges = [hz(top * k / 41) for k in range(42)]
    frequencies = np.arange(201) * RATE / 400
    bands = np.zeros((steps, 40))
    for k in range(40):
        low, mid, high = edges[k : k + 3]
        shape = np.clip(
            np.minimum((frequencies - low) / (mid - low), (high - frequencies) / (high - mid)), 0, None
        )
        bands[:, k] = power @ shape * 2 / (high - low)

    def sigmoid(v: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-v))

    sequence = bands
    for layer in range(3):
        h, c, out = np.zeros(256), np.zeros(256), []
        for row in sequence:
            gates = (
                w[f"lstm.weight_ih_l{layer}"] @ row
                + w[f"lstm.weight_hh_l{layer}"] @ h
                + w[f"lstm.bias_ih_l{layer}"]
                + w[f"lstm.bias_hh_l{layer}"]
            )
            i, f, g, o = np.split(gates, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            out.append(h)
        sequence = np.array(out)
    vector = np.maximum(w["linear.weight"] @ sequence[-1] + w["linear.bias"], 0)
    return vector / np.linalg.norm(vector)


def test_equals_the_reference(encoder: Ge2eEncoder) -> None:
    window = noise(1)
    expected = reference(window[0], random_weights())
    np.testing.assert_allclose(encoder.encode(window)[0], expected, atol=2e-5)


def test_a_window_that_begins_late_is_a_shorter_one(encoder: Ge2eEncoder) -> None:
    window = noise(1)
    start = 60 * 160
    found = encoder.encode(window, np.array([start]))[0]
    np.testing.assert_allclose(found, reference(window[0, start:], random_weights()), atol=2e-5)


def test_loudness_does_not_matter(any_encoder: Ge2eEncoder) -> None:
    window = noise(1)
    alike(any_encoder.encode(window), any_encoder.encode(window * 7))


def test_batches_answer_like_single_windows(any_encoder: Ge2eEncoder) -> None:
    windows = noise(9)
    starts = (np.arange(9) % 5) * 1600
    together = any_encoder.encode(windows, starts)
    single = [any_encoder.encode(windows[k : k + 1], starts[k : k + 1]) for k in range(9)]
    alike(together, np.concatenate(single))
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


def test_what_lies_before_a_short_window_does_not_count(any_encoder: Ge2eEncoder) -> None:
    windows, start = noise(2), np.array([60 * 160] * 2)
    windows[1, start[1] :] = windows[0, start[0] :]
    first, second = any_encoder.encode(windows, start)
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_the_same_sound_gives_the_same_bytes(any_encoder: Ge2eEncoder) -> None:
    windows = noise(5)
    np.testing.assert_array_equal(any_encoder.encode(windows), any_encoder.encode(windows))


def test_silence_gives_numbers(any_encoder: Ge2eEncoder) -> None:
    assert np.isfinite(any_encoder.encode(np.zeros((1, WINDOW_SAMPLES), np.float32))).all()


@pytest.mark.parametrize("damage", ["missing", "cut", "text", "part-missing"])
def test_bad_weight_files(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "ge2e.npz"
    arrays = ge2e_arrays(random_weights())
    match damage:
        case "cut":
            path.write_bytes(npz_bytes(arrays)[:100_000])
        case "text":
            path.write_text("no weights", encoding="utf-8")
        case "part-missing":
            del arrays["hidden1"]
            path.write_bytes(npz_bytes(arrays))
    with pytest.raises(FacilitatorError) as caught:
        Ge2eEncoder.load(path)
    assert caught.value.code == ("model-missing" if damage == "missing" else "model-damaged")


@pytest.mark.parametrize("damage", ["missing", "cut", "text", "empty"])
def test_bad_network_files(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "ge2e.onnx"
    match damage:
        case "cut":
            path.write_bytes(SHIPPED.read_bytes()[:1_000_000])
        case "text":
            path.write_text("no weights", encoding="utf-8")
        case "empty":
            path.touch()
    with pytest.raises(FacilitatorError) as caught:
        Ge2eEncoder.load(path)
    assert caught.value.code == ("model-missing" if damage == "missing" else "model-damaged")
