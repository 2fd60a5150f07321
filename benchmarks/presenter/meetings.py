"""What holds in real meetings: excerpts of half a minute, too short to learn a presenter and others from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from voice_facilitator.hearing.sound.samples import RATE, Floats
from voice_facilitator.hearing.who.encoder import WINDOW_SAMPLES, SpeakerEncoder


def meetings(folder: Path, encoder: SpeakerEncoder) -> str:
    """Equal error rate of pairs of windows in one excerpt: one speaker for 0.8 s or more, others 0.1 s."""
    same: list[Floats] = []
    different: list[Floats] = []
    for file in sorted(folder.rglob("*.rttm")):
        sound, _ = soundfile.read(file.with_suffix(".flac"), dtype="float32")
        active: dict[str, Floats] = {}
        for line in file.read_text().splitlines():
            part = line.split()
            begin, length = float(part[3]), float(part[4])
            track = active.setdefault(part[7], np.zeros(len(sound) // 160 + 1, bool))
            track[round(begin * 100) : round((begin + length) * 100)] = True
        tracks = np.stack(list(active.values()))
        alone = tracks & (tracks.sum(axis=0) == 1)
        windows, owner, start = [], [], []
        for begin in range(0, len(sound) - WINDOW_SAMPLES, RATE // 2):
            share = alone[:, begin // 160 : begin // 160 + 160].sum(axis=1)
            if share.max() >= 80 and np.sort(share)[:-1].sum() <= 10:
                windows.append(sound[begin : begin + WINDOW_SAMPLES])
                owner.append(int(share.argmax()))
                start.append(begin)
        if len(windows) < 2:
            continue
        who, at = np.array(owner), np.array(start)
        apart = np.triu(np.abs(at[:, None] - at[None]) >= WINDOW_SAMPLES, 1)
        equal = who[:, None] == who[None]
        rows = encoder.encode(np.stack(windows))[:, 0]
        close = rows @ rows.T
        same.append(close[apart & equal])
        different.append(close[apart & ~equal])
    yes, no = np.concatenate(same), np.concatenate(different)
    borders = np.quantile(np.concatenate([yes, no]), np.linspace(0, 1, 401))
    miss = np.array([(yes < border).mean() for border in borders])
    false = np.array([(no >= border).mean() for border in borders])
    k = int(np.abs(miss - false).argmin())
    return (
        "Real meetings, equal error rate of window pairs within an excerpt: "
        f"{50 * (miss[k] + false[k]):.1f} % ({len(yes)} + {len(no)} pairs)."
    )
