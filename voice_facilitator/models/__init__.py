"""Models: the manifest of what there is, fetching, and checking.

manifest = load_manifest()
fetch(manifest.find("vosk-small-de"), progress)
state_of(manifest.find("vosk-small-de"))    # State.GOOD
"""

from voice_facilitator.models.fetch import Progress, fetch
from voice_facilitator.models.manifest import (
    INSTALL_AGAIN,
    Kind,
    Manifest,
    Measured,
    ModelEntry,
    State,
    checked_path,
    file_hash,
    load_manifest,
    state_of,
)

__all__ = [
    "INSTALL_AGAIN",
    "Kind",
    "Manifest",
    "Measured",
    "ModelEntry",
    "Progress",
    "State",
    "checked_path",
    "fetch",
    "file_hash",
    "load_manifest",
    "state_of",
]
