"""Step 5: how good a model folder is, through vosk itself.

    python training/commands/evaluate.py models/commands-en WORK --speech ../shared/speech

Three figures: commands of held-out synthetic voices in simulated rooms; what people said to a home assistant
(with a grammar of its own: `build.py --more-words` must have known the words); commands heard per hour in
speech that holds none. A command counts if the result is exactly prefix and phrase, with nothing else in it.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from pathlib import Path

import numpy as np
import vosk
from sound import RATE, Rooms, load
from speech import Voices
from vocabulary import phrases


def hear(model: vosk.Model, grammar: list[str], sound: np.ndarray) -> list[str]:
    """What vosk makes of a sound in -1..1, utterance by utterance, without empty ones."""
    recogniser = vosk.KaldiRecognizer(model, RATE, json.dumps([*grammar, "[unk]"]))
    pcm = (np.clip(sound, -1, 1) * 32767).astype(np.int16)
    heard = []
    for start in range(0, len(pcm), 1600):
        if recogniser.AcceptWaveform(pcm[start : start + 1600].tobytes()):
            heard.append(json.loads(recogniser.Result())["text"])
    heard.append(json.loads(recogniser.FinalResult())["text"])
    return [text for text in heard if text]


def quiet_round(rng: np.random.Generator, sound: np.ndarray, seconds: float = 0.8) -> np.ndarray:
    """With pauses before and after that have the noise of a quiet room."""
    pause = np.zeros(int(seconds * RATE), np.float32)
    whole = np.concatenate([pause, sound, pause])
    return np.asarray(whole + rng.normal(0, 3e-4, len(whole)), np.float32)


def levelled(sound: np.ndarray) -> np.ndarray:
    """At -26 dBFS, as the program hands its utterances to a recogniser."""
    return np.asarray(sound * 10 ** (-26 / 20) / max(float(np.sqrt(np.mean(sound**2))), 1e-6), np.float32)


def synthetic(
    model: vosk.Model,
    grammar: list[str],
    said: list[tuple[str, Path, str]],
    rooms: Rooms,
    rng: np.random.Generator,
) -> None:
    for title, dry in (("dry", True), ("in rooms", False)):
        right: dict[str, list[bool]] = {}
        missed = []
        for text, path, voice in said:
            sound = quiet_round(rng, load(path))
            heard = hear(model, grammar, levelled(sound if dry else rooms.hear(sound)))
            right.setdefault(voice.split()[0], []).append(heard == [text])
            if heard != [text]:
                missed.append(f"{voice}: {text} -> {heard}")
        everything = [each for some in right.values() for each in some]
        shares = ", ".join(f"{name} {sum(some)}/{len(some)}" for name, some in sorted(right.items()))
        print(f"synthetic, {title}: {sum(everything)}/{len(everything)} ({shares})")
        print("   " + "\n   ".join(missed[:12]))


def home(model: vosk.Model, folder: Path, rng: np.random.Generator, what: str) -> None:
    files = sorted(path for path in folder.glob("*.wav") if not path.stem.startswith("oov"))
    texts = {path: home_text(path.stem) for path in files}
    if not files:
        return
    right, phrase_right = 0, 0
    for path, text in texts.items():
        heard = hear(model, sorted(set(texts.values())), levelled(quiet_round(rng, load(path))))
        right += heard == [text]
        phrase_right += text in " ".join(heard)
        if heard != [text]:
            print(f"      {text} -> {heard}")
    others = sorted(folder.glob("oov*.wav"))
    false = sum(
        any(
            text in texts.values()
            for text in hear(model, sorted(set(texts.values())), quiet_round(rng, load(path)))
        )
        for path in others
    )
    print(
        f"home commands, {what}: {right}/{len(files)} exactly, {phrase_right} contained; "
        f"others taken for one: {false}/{len(others)}"
    )


def home_text(name: str) -> str:
    numbers = {
        "1": "one", "3": "three", "4": "four", "5": "five", "6": "six", "8": "eight", "10": "ten",
        "20": "twenty", "25": "twenty five", "30": "thirty", "45": "forty five", "50": "fifty",
        "75": "seventy five", "100": "one hundred",
    }  # fmt: skip
    words = re.findall(r"[a-z0-9']+", name.lower().replace("_", " "))
    return " ".join(numbers.get(word, word) for word in words)


def false_commands(
    model: vosk.Model, grammar: list[str], sounds: list[tuple[str, np.ndarray]], what: str
) -> None:
    seconds = spent = 0.0
    found, loose, prefixes = [], 0, 0
    prefix = grammar[0].split()[0]
    for name, sound in sounds:
        began = time.process_time()
        heard = hear(model, grammar, sound)
        spent += time.process_time() - began
        seconds += len(sound) / RATE
        found += [f"{name}: {text}" for text in heard if text in grammar]
        loose += sum(any(phrase in text for phrase in grammar) for text in heard)
        prefixes += sum(prefix in text.split() for text in heard)
    print(
        f"{what}: {seconds / 3600:.2f} h, exact commands {len(found)}, anywhere in an utterance {loose}, "
        f"prefix heard {prefixes}, {spent / seconds * 100:.1f} % of a core"
    )
    for each in found[:10]:
        print("   ", each)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--speech", type=Path, default=Path("../shared/speech"))
    parser.add_argument("--commands", type=Path, default=Path("config/commands/en.toml"))
    parser.add_argument("--times", type=int, default=2, help="how often each command is said")
    parser.add_argument("--only", default="synthetic,home,false")
    options = parser.parse_args()
    vosk.SetLogLevel(-1)
    model = vosk.Model(model_path=str(options.model))
    rng = np.random.default_rng(3)
    prefix, listed = phrases(options.commands)
    grammar = [f"{prefix} {phrase}" for phrase in dict.fromkeys(listed)]
    items = [json.loads(line) for line in (options.work / "speech.jsonl").open(encoding="utf-8")]
    noises = [load(path) for path in sorted((options.speech / "noise").rglob("*.flac"))]
    if "synthetic" in options.only:
        rooms = Rooms(rng, noises, [], 20)
        voices = Voices(options.work / "test", None)
        said = [
            (text, *voices.say(text, rng, True, number))
            for number, text in enumerate(grammar * options.times)
        ]
        synthetic(model, grammar, said, rooms, rng)
    if "home" in options.only:
        home(model, options.speech / "home-commands", rng, "people")
        home(model, options.speech / "home-commands" / "generated", rng, "a neural voice")
    if "false" in options.only:
        people = [item for item in items if item["held_out"] and not item["synthetic"]]
        sounds = [(path, load(Path(path))) for item in people for path in item["paths"]]
        false_commands(model, grammar, [joined_pieces(sounds)], "held-out speakers, one after the other")
        meetings = sorted((options.speech / "meetings").rglob("*.flac"))
        false_commands(model, grammar, [(path.stem, load(path)) for path in meetings], "meetings")
        words = sorted((options.speech / "commands").rglob("*.flac"))
        false_commands(
            model,
            grammar,
            [(str(path), quiet_round(rng, load(path))) for path in words],
            "wake words of others",
        )


def joined_pieces(sounds: list[tuple[str, np.ndarray]]) -> tuple[str, np.ndarray]:
    pause = np.zeros(int(0.7 * RATE), np.float32)
    return "people", np.concatenate([part for _, sound in sounds for part in (sound, pause)])


if __name__ == "__main__":
    main()
