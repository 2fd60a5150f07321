"""Render the sessions of `presenter_detection.py`: other seeds, rooms, casts and forms than the dev sessions.

    python benchmarks/presenter_sessions.py ../shared/speech --out /tmp/rooms

Needs the requirements of `../shared/speech`. Renders what is not there yet; the same arguments give the same
bytes. Casts: `held` takes only the seven voices of LibriSpeech test-other and LJ Speech, which no training
has seen; `a` and `b` share out all 330 voices. Each line is a session: name, cast, seed, presenter, the rest.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SESSIONS = """
A1 a 301 ljspeech/LJ              --n-speakers 7 --check-in 6
A2 a 302 libri-test-other/2033    --n-speakers 6
A3 a 303 speechocean762/0813      --n-speakers 8 --check-in 6
A4 a 304 speechocean762/9626      --n-speakers 6 --same-sex
A5 a 305 libri-test-other/2414    --n-speakers 6 --same-sex --check-in 6
A6 a 306 speechocean762/2112      --n-speakers 7 --same-source
A7 a 307 libri-test-other/1998    --n-speakers 9
A8 a 308 speechocean762/1109      --n-speakers 5 --check-in 6
B1 b 401 libri-test-other/367     --n-speakers 7 --check-in 6
B2 b 402 libri-test-other/3005    --n-speakers 6
B3 b 403 speechocean762/9611      --n-speakers 8 --check-in 6
B4 b 404 speechocean762/9623      --n-speakers 6 --same-sex
B5 b 405 libri-test-other/3331    --n-speakers 6 --same-sex --check-in 6
B6 b 406 speechocean762/2061      --n-speakers 7 --same-source
B7 b 407 speechocean762/9630      --n-speakers 9
B8 b 408 speechocean762/1156      --n-speakers 5 --check-in 6
H1 held 501 libri-test-other/2033 --n-speakers 6 --check-in 6
H2 held 502 libri-test-other/3331 --n-speakers 7
H3 held 503 libri-test-other/3005 --n-speakers 6
H4 held 504 libri-test-other/1998 --n-speakers 7 --check-in 6
H5 held 505 libri-test-other/2414 --n-speakers 6
H6 held 506 libri-test-other/367  --n-speakers 5 --check-in 6
LA a 601 ljspeech/LJ              --n-speakers 8 --minutes 40 --intrusions 1,0,0 --check-in 6
LB b 602 speechocean762/9623      --n-speakers 8 --minutes 40 --intrusions 1,0,0
LC b 603 libri-test-other/367     --n-speakers 8 --minutes 40 --intrusions 1,0,0 --check-in 6
"""
_HELD_A = ["ljspeech/LJ", *(f"libri-test-other/{k}" for k in ("1998", "2033", "2414"))]
_HELD_B = [f"libri-test-other/{k}" for k in ("367", "3331", "3005")]
_MUCH_SPEECH = 50.0  # seconds: voices with as much can present


def casts(speech: Path) -> dict[str, dict[str, Any]]:
    """The voices of the three casts, as the builder's split files."""
    first, second = (json.loads((speech / name).read_text()) for name in ("dev.json", "more_voices.json"))
    voices = {**first["speakers"], **second["speakers"]}
    heaps: dict[tuple[str, str, bool], list[str]] = collections.defaultdict(list)
    for name in sorted(voices):
        if name not in (*_HELD_A, *_HELD_B):
            voice = voices[name]
            kind = (voice["source"], voice.get("sex", "?")[0], voice["speech"] >= _MUCH_SPEECH)
            heaps[kind].append(name)
    chosen = {
        "a": {*_HELD_A, *(name for heap in heaps.values() for name in heap[::2])},
        "b": {*_HELD_B, *(name for heap in heaps.values() for name in heap[1::2])},
        "held": {*_HELD_A, *_HELD_B},
    }
    return {
        cast: {
            **first,
            "split": cast,
            "speakers": {name: voice for name, voice in voices.items() if name in names},
            "utterances": [
                u for u in first["utterances"] + second["utterances"] if u["speaker"] in names
            ],
        }
        for cast, names in chosen.items()
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("speech", type=Path, help="folder of build_session.py")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    builder = options.speech / "build_session.py"
    if not builder.exists():
        raise SystemExit(f"{builder} is not there: the speech corpus is needed to render sessions.")
    options.out.mkdir(parents=True, exist_ok=True)
    for cast, split in casts(options.speech).items():
        (options.out / f"{cast}.json").write_text(json.dumps(split))
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    for line in SESSIONS.strip().splitlines():
        name, cast, seed, presenter, *more = line.split()
        folder = options.out / name
        if (folder / "truth.json").exists():
            continue
        split_file = options.out / f"{cast}.json"
        subprocess.run(
            [sys.executable, builder, "--split", split_file, "--seed", seed, "--presenter", presenter,
             "--out", folder, *more],
            check=True, env=one_thread, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        print(name)


if __name__ == "__main__":
    main()
