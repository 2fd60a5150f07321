"""How well spoken commands are heard, and how rarely something else is taken for one, for each engine.

    python -m benchmarks.commands.recognition ../shared/speech --sessions ~/sessions \\
        --engine models/commands-en

`--sessions`: sessions rendered with the speech folder's `render_dev.sh`. Every command is legal all the time,
which is harder than a session. The utterances are found as in the program; each engine hears the same ones.
`--quick` finds them by loudness, ten times faster: more of them come through than in the program.
`--found FILE`: the utterances of human speech are kept there and found once only, which takes most of it.
`--rule`: the constants of a model that is not in the manifest.
Rooms need pyroomacoustics (`pip install -r ../shared/speech/requirements.txt`).
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the hearing process does

import argparse
import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from benchmarks.commands import rooms
from voice_facilitator.app.setting_up import wording_of
from voice_facilitator.files import phrases as phrase_files
from voice_facilitator.files import protocols
from voice_facilitator.files.phrases import Command, Phrases
from voice_facilitator.files.settings import Settings, load_settings
from voice_facilitator.hearing.commands.command_engines import Choice, CommandSetup, choose, load_engine
from voice_facilitator.hearing.commands.commands import CommandEngine, CommandListener, Recognised
from voice_facilitator.hearing.commands.vosk_models import CommandRule
from voice_facilitator.hearing.sound.activity import CHUNK, CHUNK_SECONDS, VoiceActivity
from voice_facilitator.hearing.sound.samples import RATE, Floats
from voice_facilitator.session.events import Action
from voice_facilitator.speaking.engine import engine_for

_NUMBERS = {
    "1": "one",
    "3": "three",
    "4": "four",
    "5": "five",
    "6": "six",
    "8": "eight",
    "10": "ten",
    "20": "twenty",
    "25": "twenty five",
    "30": "thirty",
    "45": "forty five",
    "50": "fifty",
    "75": "seventy five",
    "100": "one hundred",
}
MARGINS = (-1.0, -0.5, 0.0, 0.5)
ALL = frozenset(Action)
CAUSES = (
    "no utterance of its own between pauses",
    "taken for other words",
    "two phrases as likely",
    "not sure enough",
)


@dataclass(slots=True)
class Heard:
    """One utterance. `at`: the position in seconds at which it was handed to the engine."""

    at: float
    seconds: float
    answers: dict[str, Recognised] = field(default_factory=dict)


class Everyone:
    """All engines behind the interface of one: each hears every utterance, none of them acts."""

    name = "everyone"

    def __init__(self, engines: list[CommandEngine]) -> None:
        self.engines = engines
        self.spent = dict.fromkeys([engine.name for engine in engines], 0.0)
        self.heard: list[Heard] = []
        self.sounds: list[Floats] = []

    def unknown_words(self, phrases: Phrases) -> set[str]:
        unknown = [engine.unknown_words(phrases) for engine in self.engines]
        return set.intersection(*unknown) if unknown else set()

    def recognise(self, samples: Floats, texts: frozenset[str]) -> Recognised:
        heard = Heard(0.0, len(samples) / RATE)
        for engine in self.engines:
            began = time.process_time()
            heard.answers[engine.name] = engine.recognise(samples, texts)
            self.spent[engine.name] += time.process_time() - began
        self.heard.append(heard)
        self.sounds.append(samples.copy())
        return Recognised("")


class Loudness:
    """In place of the voice activity: whatever is louder than the room, held as long."""

    def __init__(self, sound: Floats, hold_chunks: int) -> None:
        chunks = sound[: len(sound) // CHUNK * CHUNK].reshape(-1, CHUNK)
        self._levels = 10 * np.log10(np.mean(chunks * chunks, axis=1, dtype=np.float64) + 1e-10)
        quiet, loud = np.percentile(self._levels, [10, 95])
        self._limit = max(quiet + 6, loud - 32) if loud - quiet > 12 else loud - 6
        self._hold, self._left, self._at = hold_chunks, 0, 0

    def step(self, _chunk: Floats) -> bool:
        if self._levels[self._at] > self._limit:
            self._left = self._hold + 1
        self._at += 1
        self._left = max(0, self._left - 1)
        return self._left > 0


class Bench:
    """Lets clips through the program's own way from sound to utterance."""

    def __init__(
        self, settings: Settings, phrases: Phrases, engines: list[CommandEngine], *, quick: bool
    ) -> None:
        self.settings, self.phrases, self.quick = settings, phrases, quick
        self.everyone = Everyone(engines)

    def counts(self, answer: Recognised, margin: float) -> bool:
        """As `CommandListener` decides."""
        said = self.phrases.sayable(ALL)
        meanings = {said[text].request for text in {answer.text, *answer.rivals} if text}
        return len(meanings) == 1 and answer.score >= margin

    def cause(self, answer: Recognised | None) -> str:
        """Which of CAUSES it is that nothing was done; empty if something was. None: no utterance."""
        if answer is None:
            return CAUSES[0]
        if not answer.text:
            return CAUSES[1]
        if self.counts(answer, 0.0):
            return ""
        return CAUSES[2] if answer.score >= 0 else CAUSES[3]

    def hear(self, clip: rooms.Clip) -> list[Heard]:
        hearing = self.settings.hearing
        activity = VoiceActivity(hearing.speech_threshold, hearing.speech_hold_seconds)
        listener = CommandListener(self.settings.commands, self.everyone, self.phrases, activity.hold_seconds)
        listener.allow(ALL)
        loudness = (
            Loudness(clip.sound, round(activity.hold_seconds / CHUNK_SECONDS)) if self.quick else activity
        )
        first = len(self.everyone.heard)
        self.everyone.sounds.clear()
        for begin in range(0, len(clip.sound) - CHUNK + 1, CHUNK):
            chunk = clip.sound[begin : begin + CHUNK]
            known = len(self.everyone.heard)
            listener.hear(chunk, speech=loudness.step(chunk), own_voice=False)
            for heard in self.everyone.heard[known:]:
                heard.at = (begin + CHUNK) / RATE
        return self.everyone.heard[first:]


def announcements(settings: Settings, pause: float = 1.5) -> rooms.Clip:
    """Everything the program says in its default session, as the default voice says it, without muting."""
    protocol = protocols.load(settings.session.protocol)
    wording = wording_of(settings, protocol)
    engine = engine_for(settings.speaking)
    sounds: list[Floats] = []
    for text in protocols.sentences_of(protocol, wording, ()):
        speech = engine.render(text)
        samples = np.asarray(speech.at_rate(RATE, 1.0), np.float32).reshape(-1)
        sounds += [samples / max(1.0, float(np.abs(samples).max())), np.zeros(int(pause * RATE), np.float32)]
    return rooms.Clip("announcements", np.concatenate(sounds))


class Table:
    """Rows of figures with a column for each engine, as docs/commands.md shows them."""

    def __init__(self, engines: list[CommandEngine]) -> None:
        self._names = [engine.name for engine in engines]
        print(f"\n| | {' | '.join(self._names)} |\n|---|{'---|' * len(self._names)}")

    def row(self, title: str, figures: Callable[[str], str]) -> None:
        print(f"| {title} | {' | '.join(figures(name) for name in self._names)} |", flush=True)


def hits(bench: Bench, clips: Iterable[rooms.Clip], title: str) -> None:
    """Share of the commands understood at first try, and what else was understood."""
    phrases = bench.phrases.sayable(ALL)
    found: list[tuple[rooms.Clip, Heard | None]] = []
    for clip in clips:
        own = [h for h in bench.hear(clip) if clip.end < h.at < clip.end + 2.0]
        found.append((clip, own[0] if own else None))
    late = [h.at - clip.end for clip, h in found if h is not None]
    print(f"\n## {title}: {len(found)} commands, {len(late)} came through as an utterance of their own")
    print(f"handed over {np.median(late):.2f} s after the last sound (95 %: {np.percentile(late, 95):.2f} s)")
    table = Table(bench.everyone.engines)

    def understood(name: str, clip: rooms.Clip, heard: Heard | None, margin: float) -> bool | None:
        """None: taken for another command."""
        answer = heard.answers[name] if heard else Recognised("")
        got = phrases.get(answer.text) if bench.counts(answer, margin) else None
        meant = phrases[clip.text]
        if got is None:
            return False
        return True if (got.action, got.seconds) == (meant.action, meant.seconds) else None

    def share(some: list[tuple[rooms.Clip, Heard | None]], margin: float = 0.0) -> Callable[[str], str]:
        def figures(name: str) -> str:
            answers = [understood(name, clip, heard, margin) for clip, heard in some]
            return f"{sum(a is True for a in answers) / len(answers):.0%} of {len(answers)}"

        return figures

    table.row("understood at first try", share(found))
    table.row(
        "taken for another command",
        lambda name: str(sum(understood(name, clip, heard, 0.0) is None for clip, heard in found)),
    )
    for cause in CAUSES:
        table.row(
            f"not understood: {cause}",
            lambda name, cause=cause: str(  # type: ignore[misc]
                sum(bench.cause(heard.answers[name] if heard else None) == cause for _, heard in found)
            ),
        )
    kinds: dict[str, Callable[[rooms.Clip], bool]] = {
        "under 2 m": lambda clip: clip.metres < 2,
        "2 m and more": lambda clip: clip.metres >= 2,
        "people talk before and after": lambda clip: clip.talk,
        "nobody talks": lambda clip: not clip.talk,
    }
    for engine in sorted({clip.name.split("/")[0] for clip, _ in found}):
        kinds[f"voices of {engine}"] = lambda clip, engine=engine: clip.name.split("/")[0] == engine  # type: ignore[misc]
    kinds["voices that training never heard"] = lambda clip: rooms.is_new(clip.name)
    for kind, belongs in kinds.items():
        if some := [pair for pair in found if belongs(pair[0])]:
            table.row(kind, share(some))
    for margin in MARGINS:
        table.row(f"margin {margin:+.1f}", share(found, margin))


def find(bench: Bench, clips: Iterable[rooms.Clip], file: Path) -> None:
    """Keep the utterances of the clips in a file, for `false_commands`."""
    found: list[rooms.Utterances] = []
    for clip in clips:
        bench.hear(clip)
        found.append(rooms.Utterances(clip.name, len(clip.sound) / RATE, list(bench.everyone.sounds)))
    rooms.keep(file, found)


def false_commands(bench: Bench, clips: Iterable[rooms.Clip], kept: Iterable[rooms.Utterances]) -> None:
    """What was taken for a command where nobody gave one, by kind of speech."""
    hours: dict[str, float] = defaultdict(float)
    utterances: dict[str, list[Heard]] = defaultdict(list)
    texts = frozenset(bench.phrases.sayable(ALL))
    for some in kept:
        hours[some.name] += some.seconds / 3600
        first = len(bench.everyone.heard)
        for sound in some.sounds:
            bench.everyone.recognise(sound, texts)
        utterances[some.name] += bench.everyone.heard[first:]
    for clip in clips:
        hours[clip.name] += len(clip.sound) / RATE / 3600
        utterances[clip.name] += bench.hear(clip)
    total = sum(hours.values())
    everything = [heard for some in utterances.values() for heard in some]
    print(f"\n## No commands: {total:.2f} hours, {len(everything)} utterances between pauses")
    table = Table(bench.everyone.engines)

    def count(some: list[Heard], margin: float = 0.0) -> Callable[[str], str]:
        def figures(name: str) -> str:
            answers = [heard.answers[name] for heard in some]
            return str(sum(bench.counts(answer, margin) for answer in answers))

        return figures

    for kind, some in utterances.items():
        table.row(f"false commands, {kind}, {hours[kind]:.2f} h", count(some))
    for margin in MARGINS:
        table.row(f"all, margin {margin:+.1f}", count(everything, margin))
    spent = bench.everyone.spent
    table.row("share of one core", lambda name: f"{spent[name] / total / 3600:.1%}")
    table.row("a decision", lambda name: f"{spent[name] / max(1, len(everything)):.2f} s")


def near_misses(bench: Bench, clips: Iterable[rooms.Clip]) -> None:
    """How often what is nearly a command is taken for one; which ones, the most frequent first."""
    texts = frozenset(bench.phrases.sayable(ALL))
    taken: dict[str, Counter[str]] = defaultdict(Counter)
    count = 0
    for clip in clips:
        count += 1
        heard = bench.everyone.recognise(clip.sound, texts)
        assert not heard.text  # nobody acts on it
        for name, answer in bench.everyone.heard[-1].answers.items():
            if bench.counts(answer, 0.0):
                taken[name][f'"{clip.name}" as "{answer.text}"'] += 1
    print(f"\n## Nearly a command: {count}")
    for engine in bench.everyone.engines:
        found = taken[engine.name]
        most = "; ".join(f"{what} {times}" for what, times in found.most_common(12))
        print(f"{engine.name:16} took {found.total()} for one: {most}")


def people(engines: list[CommandEngine], speech: Path) -> None:
    """Sentences said to a home assistant, with a grammar of their own. The file name is the text."""
    for title, folder in (("people", "home-commands"), ("one neural voice", "home-commands/generated")):
        texts = home_texts(speech / folder)
        print(f"\n## Home commands, {title}: {len(texts)}")
        for engine in engines:
            said = tuple(set(texts.values()))
            grammar = Phrases("en", "", "x", (Command(Action.NEXT, "", said, said),))
            unknown = engine.unknown_words(grammar)
            known = {path: text for path, text in texts.items() if not unknown & set(text.split())}
            answers = []
            for path, text in known.items():
                sound = np.concatenate([np.zeros(RATE // 3), rooms.read(path), np.zeros(RATE // 2)])
                level = float(np.sqrt(np.mean(sound * sound)))
                sound = np.clip(sound * 0.05 / max(level, 1e-6), -1, 1).astype(np.float32)
                answer = engine.recognise(sound, frozenset(known.values()))
                answers.append((answer.text == text, answer.score))
            right = [sum(ok and score >= margin for ok, score in answers) for margin in MARGINS]
            shown = ", ".join(f"margin {m:+.1f}: {count}" for m, count in zip(MARGINS, right, strict=True))
            print(f"{engine.name:16} knows the words of {len(known)}; understood: {shown}")


def home_texts(folder: Path) -> dict[Path, str]:
    """Recordings of sentences to a home assistant with their words."""
    texts = {path: home_text(path.stem) for path in sorted(folder.glob("*.wav"))}
    return {path: text for path, text in texts.items() if text and not text.startswith("oov")}


def as_commands(folder: Path) -> str:
    """Those sentences as a file of commands, for `training.commands.build --commands`."""
    listed = sorted(set(home_texts(folder).values()))
    command = f'[[command]]\naction = "next"\nphrases = ["next part"]\nbare = {json.dumps(listed)}\n'
    return f'language = "en"\ntitle = ""\nprefix = "facilitator"\n{command}'


def home_text(name: str) -> str:
    """ "set a timer for 5 minutes" as words."""
    words = re.findall(r"[a-z0-9']+", name.lower().replace("_", " "))
    return " ".join(_NUMBERS.get(word, word) for word in words)


def main() -> None:
    options = arguments()
    if options.write_phrases:
        options.write_phrases.write_text(as_commands(options.speech / "home-commands"), encoding="utf-8")
        return
    settings = load_settings()
    setup = CommandSetup(settings.commands, "en")
    phrases = phrase_files.load("en", prefix=options.prefix)
    engines = []
    for name in options.engine or [""]:
        choice: Choice | None = choose(
            CommandSetup(settings.commands.model_copy(update={"engine": name}), setup.language)
        )
        assert choice is not None
        if options.rule and choice.folder is not None:
            within, least = options.rule
            choice = replace(choice, rule=CommandRule(within=within, least=least))
        engines.append(load_engine(choice, phrases))
    bench = Bench(settings, phrases, engines, quick=options.quick)
    lacking = {engine.name: engine.unknown_words(phrases) for engine in engines}
    print(f"prefix {phrases.prefix}; words never heard: {lacking}")
    if "hits" in options.only:
        texts = sorted(phrases.sayable(ALL))
        for loud in (False, True):
            clips = rooms.commands(
                texts, options.speech, seed=21 + loud, count=options.voices, per_voice=options.each, loud=loud
            )
            title = "rain, 10 to 16 dB below speech" if loud else "a quiet room"
            hits(bench, clips, f"Commands in rooms, {title}")
    bench.everyone.spent = dict.fromkeys(bench.everyone.spent, 0.0)
    if "nearly" in options.only:
        near_misses(bench, rooms.nearly(np.random.default_rng(5)))
    if "people" in options.only:
        people(engines, options.speech)
    if "false" in options.only:
        own = announcements(settings)
        if options.found and not options.found.exists():
            silent = Bench(settings, phrases, [], quick=options.quick)
            find(silent, rooms.human_speech(options.speech, options.sessions), options.found)
        if options.found:
            false_commands(bench, [own], rooms.kept(options.found)[:: options.every])
        else:
            spoken = list(rooms.human_speech(options.speech, options.sessions))[:: options.every]
            false_commands(bench, [*spoken, own], [])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("speech", type=Path)
    parser.add_argument("--sessions", type=Path)
    parser.add_argument("--engine", action="append", help="as in the settings; more than one to compare")
    parser.add_argument("--prefix", default="")
    parser.add_argument("--voices", type=int, default=40)
    parser.add_argument("--each", type=int, default=5, help="commands of each voice")
    parser.add_argument("--only", default="hits,nearly,people,false")
    parser.add_argument("--rule", type=float, nargs=2, metavar=("WITHIN", "LEAST"))
    parser.add_argument("--every", type=int, default=1, help="hear only each nth piece of human speech")
    parser.add_argument("--found", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument(
        "--write-phrases", type=Path, help="only write the sentences of home-commands as a file of commands"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
