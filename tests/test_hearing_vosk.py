"""Vosk's speaker model: what is looked at before vosk may touch it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from voice_facilitator.errors import ExitCode, FacilitatorError
from voice_facilitator.files.settings import load_settings
from voice_facilitator.hearing.commands.vosk_models import (
    RECOGNISER_FILES,
    SPEAKER_FILES,
    VoskEncoder,
    check_folder,
)
from voice_facilitator.hearing.who.voice_model import load_voice_model


def fill(folder: Path, needed: tuple[tuple[str, ...], ...]) -> Path:
    for choices in needed:
        path = folder / choices[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not a model")
    return folder


def test_a_missing_or_incomplete_folder_never_reaches_vosk(tmp_path: Path) -> None:
    with pytest.raises(FacilitatorError) as caught:
        VoskEncoder(tmp_path / "spk", tmp_path / "recogniser")
    assert caught.value.code == "model-missing"
    assert caught.value.exit_code is ExitCode.NO_MODEL
    for needed in (SPEAKER_FILES, RECOGNISER_FILES):
        folder = fill(tmp_path / needed[0][0].replace("/", "-"), needed)
        check_folder(folder, needed, "x")
        (folder / needed[-1][0]).write_bytes(b"")
        with pytest.raises(FacilitatorError, match=f"lacks {needed[-1][0]}"):
            check_folder(folder, needed, "x")


def test_without_a_recogniser_it_says_so(tmp_path: Path) -> None:
    settings = load_settings().hearing.model_copy(update={"voice_model": "vosk-spk"})
    with pytest.raises(FacilitatorError, match="not here"):
        load_voice_model(settings, tmp_path)
    fill(tmp_path / "vosk-model-spk-0.4", SPEAKER_FILES)
    with pytest.raises(FacilitatorError, match="works through a recogniser"):
        load_voice_model(settings, tmp_path)


def test_a_recogniser_is_no_speaker_encoder(tmp_path: Path) -> None:
    settings = load_settings().hearing.model_copy(update={"voice_model": "vosk-small-de"})
    with pytest.raises(FacilitatorError, match="does not tell voices apart"):
        load_voice_model(settings, tmp_path)


def test_vosk_is_loaded_without_its_http_client_which_others_can_still_have() -> None:
    """The hearing process may reach no network. Tried in another one: here the client may be loaded."""
    script = """
import sys
from voice_facilitator.hearing.commands import vosk_models
vosk_models._load_vosk()
assert not any(name.split(".")[0] in ("requests", "urllib3") for name in sys.modules)
import requests
assert requests.get
"""
    subprocess.run([sys.executable, "-c", script], check=True)
