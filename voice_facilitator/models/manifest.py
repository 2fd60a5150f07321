"""What models there are, which of them lie here, and whether they are whole."""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from voice_facilitator.errors import ExitCode, FacilitatorError
from voice_facilitator.files import checked_toml
from voice_facilitator.machine.resources import models_folder, shipped

_NOTED = "noted-hashes.json"  # hashes of downloads whose hash nobody published, as first seen here


class Kind(StrEnum):
    SPEAKER_ENCODER = "speaker-encoder"
    TWO_VOICES = "two-voices"
    RECOGNISER = "recogniser"
    SPEAKER_MODEL = "speaker-model"


_Hash = Field(default="", pattern=r"^([0-9a-f]{64})?$")
_SafeName = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")


class Measured(BaseModel):
    """How well a recogniser of commands does, from `benchmarks/commands/recognition.py`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    heard_percent: int = Field(ge=0, le=100)  # commands understood at first try, said in simulated rooms
    false_commands: int = Field(ge=0)  # in `talk_hours` of people's speech without a command
    talk_hours: float = Field(gt=0)


class ModelEntry(BaseModel):
    """One entry of `models/manifest.toml`; the comment there says what the fields mean."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str = _SafeName
    kind: Kind
    what: str
    licence: str
    source: str
    file: str = _SafeName
    default: bool = False
    language: str = ""
    bytes: int = Field(default=0, ge=0)
    sha256: str = _Hash
    url: str = ""
    file_sha256: str = _Hash
    measured: Measured | None = None
    cohort: str = ""  # shipped file with other voices through this encoder
    cohort_sha256: str = _Hash
    remark: str = ""  # shipped file with the weights of what is a remark of the presenter's, by this encoder
    remark_sha256: str = _Hash
    two_voices: str = ""  # name of the model that goes with this encoder where two people speak at once
    decision: dict[str, float] = Field(default_factory=dict)  # constants that belong to this encoder

    @model_validator(mode="after")
    def _checkable(self) -> Self:
        if self.is_shipped and not self.file_sha256:
            raise ValueError("a shipped model needs file_sha256")
        if not all(self.parts.values()):
            raise ValueError("what belongs to a model needs its sha256 as well")
        return self

    @property
    def is_shipped(self) -> bool:
        """Comes with the program, nothing to fetch."""
        return not self.url

    @property
    def parts(self) -> dict[str, str]:
        """Hashes of the shipped files that belong to it, by name."""
        parts = {self.cohort: self.cohort_sha256, self.remark: self.remark_sha256}
        return {file: sha256 for file, sha256 in parts.items() if file}

    def path(self, folder: Path | None = None) -> Path:
        """Where its file or folder lies once it is here."""
        if self.is_shipped and folder is None:
            return shipped("models", self.file)
        return (folder or models_folder()) / self.file


class Manifest(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    model: list[ModelEntry] = Field(max_length=200)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [entry.name for entry in self.model]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"named twice: {', '.join(sorted(twice))}")
        return self

    def find(self, name: str) -> ModelEntry:
        """Raises FacilitatorError `model-unknown`."""
        for entry in self.model:
            if entry.name == name:
                return entry
        hint = checked_toml.did_you_mean(name, [entry.name for entry in self.model])
        raise FacilitatorError(
            "model-unknown", f'There is no model "{name}".', hint, exit_code=ExitCode.USAGE
        )

    def default_encoder(self) -> ModelEntry:
        """The speaker encoder used unless the settings name another."""
        return next(e for e in self.model if e.kind is Kind.SPEAKER_ENCODER and e.default)


INSTALL_AGAIN = "It comes with the program: install it again; in a checkout: git checkout -- models"


class State(StrEnum):
    """How a model lies here."""

    GOOD = "good"
    MISSING = "missing"
    DAMAGED = "damaged"
    UNCHECKED = "unchecked"  # here, but there is no hash to compare with


def load_manifest(path: Path | None = None) -> Manifest:
    """Raises FacilitatorError or FileMistakes (`manifest`), `model-damaged` for the one that is shipped."""
    if path is not None:
        return checked_toml.load(path, Manifest, "manifest")
    try:
        return checked_toml.load(shipped("models", "manifest.toml"), Manifest, "manifest")
    except FacilitatorError as error:  # not the user's to mend
        raise FacilitatorError(
            "model-damaged",
            f"The list of models is damaged. {error.message}",
            INSTALL_AGAIN,
            exit_code=ExitCode.NO_MODEL,
        ) from error


def state_of(entry: ModelEntry, folder: Path | None = None) -> State:
    """Look at the files, hash included: milliseconds for the encoder, under a second for a recogniser."""
    path = entry.path(folder)
    parts = {shipped("models", file): sha256 for file, sha256 in entry.parts.items()}
    wanted = entry.file_sha256 or noted_hashes(path.parent).get(f"{entry.name}/unpacked")
    try:
        if not all(part.exists() for part in (path, *parts)):
            return State.MISSING
        if any(file_hash(part) != sha256 for part, sha256 in parts.items()):
            return State.DAMAGED
        if not wanted:
            return State.UNCHECKED
        found = folder_hash(path) if path.is_dir() else file_hash(path)
    except OSError:  # a folder in place of a file, no permission, a disk that fails
        return State.DAMAGED
    return State.GOOD if found == wanted else State.DAMAGED


def checked_path(entry: ModelEntry, folder: Path | None = None) -> Path:
    """The path of a model that is whole. Raises FacilitatorError `model-missing` or `model-damaged`."""
    state = state_of(entry, folder)
    hint = f"Run: voice-facilitator models fetch {entry.name}"
    missing = f"The model {entry.name} ({entry.what}) is not here."
    damaged = f"The model {entry.name} is not what its publisher released."
    if entry.is_shipped:
        hint = INSTALL_AGAIN
        missing = f"The model {entry.name} ({entry.what}) is not here, or not all of it."
        damaged = f"The model {entry.name} ({entry.what}) is damaged."
    if state is State.MISSING:
        raise FacilitatorError("model-missing", missing, hint, exit_code=ExitCode.NO_MODEL)
    if state is State.DAMAGED:
        raise FacilitatorError("model-damaged", damaged, hint, exit_code=ExitCode.NO_MODEL)
    return entry.path(folder)


def file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_hash(path: Path) -> str:
    """One hash over the names and contents of all files in a folder."""
    total = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        total.update(f"{file.relative_to(path).as_posix()}\0{file_hash(file)}\n".encode())
    return total.hexdigest()


def noted_hashes(folder: Path) -> dict[str, str]:
    """Hashes noted at the first download of models without a published one, and of unpacked folders."""
    try:
        data = json.loads((folder / _NOTED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(data, dict):
        return {}
    return {str(key): value for key, value in data.items() if isinstance(value, str)}


def note_hash(folder: Path, key: str, value: str) -> None:
    notes = noted_hashes(folder) | {key: value}
    partial = folder / (_NOTED + ".part")
    try:
        partial.write_text(json.dumps(notes, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        partial.replace(folder / _NOTED)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
