"""Step 1: speech and its words, from synthetic voices and from the licensed recordings.

    python -m training.commands.speech ../shared/speech WORK --sentences 2400

Writes WORK/speech.jsonl: one utterance a line with the files it is made of, its text, voice and whether it is
held out. Every sixth espeak-ng variant, one voice each of flite and festival, and every sixth human speaker
are held out whole. Needs espeak-ng, flite, festival and their voices (Debian: festvox-kallpc16k,
festvox-kdlpc16k, festvox-us-slt-hts).

Recordings without a transcript are used if WORK/whisper.json names their words: a list of
{"paths": [...], "text": "..."}, made with any recogniser.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from training.commands.vocabulary import phrases, sentence, synonyms

UNNATURAL = re.compile(
    "whisper|croak|fast_test|robo|UniRobot|serious|Demonic|Alien|Half|aunty", re.IGNORECASE
)
ACCENTS = ("en-us", "en-gb", "en-gb-scotland", "en-029", "en-gb-x-rp", "en-gb-x-gbclan")
FLITE = ("kal16", "awb", "slt")
FESTIVAL = ("kal_diphone", "cmu_us_slt_arctic_hts")
HELD_OUT_FLITE, HELD_OUT_FESTIVAL = "rms", "ked_diphone"


def is_held_out(name: str, one_in: int = 6) -> bool:
    """The same whole voices at every run, whatever else is there."""
    return zlib.crc32(name.encode()) % one_in == 0


class Voices:
    """Says a text with one of the free synthetic voices of Debian, or a piper voice where there is one."""

    def __init__(self, folder: Path, piper: Path | None) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        listed = subprocess.run(
            ["espeak-ng", "--voices=variant"], capture_output=True, text=True, check=True
        ).stdout.splitlines()[1:]
        names = sorted(line.split()[4].split("/")[1] for line in listed if "!v/" in line)
        self.variants = [name for name in names if not UNNATURAL.search(name)]
        self.piper = None
        if piper is not None:
            import onnxruntime
            from piper import PiperVoice

            onnxruntime.set_default_logger_severity(3)
            self.piper = PiperVoice.load(piper)

    def say(self, text: str, rng: np.random.Generator, held_out: bool, number: int) -> tuple[Path, str]:
        engines, chances = ["espeak", "flite", "festival"], [0.5, 0.3, 0.2]
        if self.piper is not None and not held_out:
            engines, chances = ["espeak", "flite", "festival", "piper"], [0.35, 0.2, 0.1, 0.35]
        engine = str(rng.choice(engines, p=chances))
        path = self.folder / f"{'held' if held_out else 'train'}{number:05d}.wav"
        return path, str(getattr(self, f"_{engine}")(text, path, rng, held_out))

    def _espeak(self, text: str, path: Path, rng: np.random.Generator, held_out: bool) -> str:
        variants = [each for each in self.variants if is_held_out(each) == held_out]
        voice = f"{rng.choice(ACCENTS)}+{rng.choice(variants)}"
        shape = ["-s", str(rng.integers(115, 195)), "-p", str(rng.integers(25, 75))]
        _run(
            ["espeak-ng", "-v", voice, *shape, "-g", str(rng.choice([0, 0, 0, 1, 3])), "-w", str(path), text]
        )
        return f"espeak {voice}"

    def _flite(self, text: str, path: Path, rng: np.random.Generator, held_out: bool) -> str:
        voice = HELD_OUT_FLITE if held_out else str(rng.choice(FLITE))
        stretch = f"duration_stretch={rng.uniform(0.8, 1.25):.2f}"
        _run(["flite", "-voice", voice, "--setf", stretch, "-t", text, "-o", str(path)])
        return f"flite {voice}"

    def _festival(self, text: str, path: Path, rng: np.random.Generator, held_out: bool) -> str:
        voice = HELD_OUT_FESTIVAL if held_out else str(rng.choice(FESTIVAL))
        script = (
            f"(begin (voice_{voice}) (Parameter.set 'Duration_Stretch {rng.uniform(0.85, 1.25):.2f})"
            f' (utt.save.wave (utt.synth (Utterance Text "{text}")) "{path}" \'riff))'
        )
        _run(["festival", "-b", script])
        return f"festival {voice}"

    def _piper(self, text: str, path: Path, rng: np.random.Generator, held_out: bool) -> str:
        from piper.config import SynthesisConfig

        shape = SynthesisConfig(
            length_scale=float(rng.uniform(0.75, 1.25)),
            noise_scale=float(rng.uniform(0.4, 0.9)),
            noise_w_scale=float(rng.uniform(0.5, 1.0)),
        )
        chunks = list(self.piper.synthesize(text, shape))
        sound = np.concatenate([chunk.audio_float_array for chunk in chunks])
        soundfile.write(path, sound, chunks[0].sample_rate)
        return "piper joe"


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def plain(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9']+", text.lower().replace("-", " ").replace("’", "'")))


def recordings(speech: Path, work: Path) -> Iterator[tuple[list[Path], str, str]]:
    """Files, text and speaker of every recording whose words are known."""
    texts = json.loads((speech / "transcripts.json").read_text(encoding="utf-8"))
    for path in sorted((speech / "speakers").rglob("*.flac")):
        if path.stem in texts:
            yield [path], plain(texts[path.stem]), f"{path.parts[-3]}/{path.parts[-2]}"
    guessed = work / "whisper.json"
    if guessed.exists():
        for item in json.loads(guessed.read_text(encoding="utf-8")):
            paths = [speech / each for each in item["paths"]]
            # recordings that are aligned together share their part by the first one's speaker
            yield paths, plain(item["text"]), f"{paths[0].parts[-3]}/{paths[0].parts[-2]}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("speech", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--commands", type=Path, default=Path("config/commands/en.toml"))
    parser.add_argument("--sentences", type=int, default=2400)
    parser.add_argument("--share", type=float, default=0.6, help="of the sentences that are commands")
    parser.add_argument("--piper", type=Path, help="a piper voice (.onnx with its .onnx.json beside it)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    prefix, commands = phrases(options.commands)
    commands = sorted({*commands, *synonyms()})
    voices = Voices(options.work / "synthetic", options.piper)
    texts = []
    with (options.work / "speech.jsonl").open("w", encoding="utf-8") as out:

        def add(paths: list[Path], text: str, voice: str, held_out: bool, synthetic: bool) -> None:
            item = {"paths": [str(path) for path in paths], "text": text, "voice": voice}
            out.write(json.dumps({**item, "held_out": held_out, "synthetic": synthetic}) + "\n")

        for paths, text, speaker in recordings(options.speech, options.work):
            texts.append(text)
            add(paths, text, speaker, is_held_out(speaker), synthetic=False)
        print(f"{len(texts)} recordings", flush=True)
        for number in range(options.sentences):
            held_out = number % 12 == 0
            text = sentence(rng, commands, prefix, texts, options.share)
            path, voice = voices.say(text, rng, held_out, number)
            add([path], text, voice, held_out, synthetic=True)
            if number % 200 == 0:
                out.flush()
                print(f"{number} sentences said", flush=True)


if __name__ == "__main__":
    main()
