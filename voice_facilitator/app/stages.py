"""Before the session: choosing format, minutes, microphone and speaker on the room page, then "ready".

Listening here is for the level meter only: nothing is learnt, and the process ends before the session's own
begins. Without a page, or with a key, everything goes on as the command line and the settings say.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from voice_facilitator import models
from voice_facilitator.app.setting_up import speaking_in
from voice_facilitator.display.frame import consent
from voice_facilitator.display.routes import Choice
from voice_facilitator.display.server import RoomServer
from voice_facilitator.errors import FacilitatorError
from voice_facilitator.files import protocols
from voice_facilitator.files.settings import Settings
from voice_facilitator.hearing.commands.command_engines import CommandSetup, choose, load_phrases
from voice_facilitator.hearing.process import HearingProcess, Microphone
from voice_facilitator.machine import soundcard
from voice_facilitator.machine.interrupts import noted
from voice_facilitator.session import events as ev
from voice_facilitator.session.events import Part
from voice_facilitator.session.protocol import Protocol
from voice_facilitator.speaking.process import SpeakingProcess

_INBOX = 100
_METER_SECONDS = 0.2
_END_SECONDS = 10.0
_NO_SOUND_DBFS = -119.0  # nothing but zeros, or not a single block yet
_OPEN_SECONDS = 12.0  # a slow microphone on a slow machine
_QUIETEST_DBFS, _LOUDEST_DBFS = -70.0, -10.0  # the ends of the level meter
_GO_KEYS = (" ", "\r", "\n")


@dataclass(frozen=True)
class Chosen:
    """What a session is to be held with."""

    protocol_name: str
    protocol: Protocol
    settings: Settings
    timer_only: bool


def spoken_commands(chosen: Chosen) -> dict[str, Any]:
    """For the page: whether commands will be understood, with which word they begin, and how well."""
    try:
        setup = CommandSetup(chosen.settings.commands, chosen.protocol.language)
        choice, phrases = choose(setup), load_phrases(setup)
    except FacilitatorError:
        return {"engine": ""}
    if choice is None:
        return {"engine": ""}
    return {
        "engine": choice.name,
        "say": phrases.shown(phrases.commands[1]),
        "measured": choice.measured.model_dump() if choice.measured else None,
    }


class SetupStage:
    """Shows and changes the choices until somebody is ready."""

    def __init__(
        self, server: RoomServer, chosen: Chosen, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        """tell: where somebody at the keyboard reads what stands in the way."""
        self._server = server
        self._tell = tell
        self._chosen = chosen
        self._minutes = round(chosen.protocol.seconds / 60)
        self._inbox: queue.Queue[Choice | str | ev.Input] = queue.Queue(_INBOX)
        self._hearing: HearingProcess | None = None
        self._speaking: SpeakingProcess | None = None
        self._microphone_lost = False
        self._microphone_fault: ev.MicrophoneFault | None = None
        self._listens_since = time.monotonic()
        self._test = "idle"  # "playing", "done", "failed"
        self._tests = 0
        self._devices: dict[str, list[str]] = {"input": [], "output": []}
        self._missing_models: list[str] = []
        self._commands: dict[str, Any] = {}
        self._endings: list[threading.Thread] = []
        # The format that was asked for first: it may be a file of the user's own.
        self._known = {chosen.protocol_name: chosen.protocol}
        self._known |= {name: protocols.load(name) for name in protocols.names()}

    def key(self, name: str) -> None:
        """A key of the terminal; any thread may."""
        self._put(name)

    def run(self) -> Chosen | None:
        """Returns what was chosen, as soon as somebody is ready; None when the program is to end."""
        self._server.on_choice = self._put
        try:
            with noted() as told:
                self._look()
                self._listen()
                while not told:
                    self._show()
                    with contextlib.suppress(queue.Empty):
                        if self._take(self._inbox.get(timeout=_METER_SECONDS)):
                            return replace(self._chosen, protocol=self._with_minutes())
            return None
        finally:
            self._server.on_choice = lambda _choice: False
            self._server.show({"stage": "notice", "notice": "preparing"})
            self._close()

    def _put(self, item: Choice | str | ev.Input) -> bool:
        with contextlib.suppress(queue.Full):  # nobody chooses a hundred things in a fifth of a second
            self._inbox.put_nowait(item)
        return True

    def _happened(self, event: ev.Input) -> None:
        self._put(event)

    # ------------------------------------------------------------ what people choose

    def _take(self, item: Choice | str | ev.Input) -> bool:
        """True when somebody is ready and nothing stands in the way."""
        match item:
            case str():
                return item in _GO_KEYS and self._goes_by_key()
            case Choice():
                return self._choose(item)
            case ev.PartLost(Part.MICROPHONE | Part.HEARING, reason):
                self._microphone_lost, self._microphone_fault = True, reason
            case ev.PartBack(Part.MICROPHONE | Part.HEARING):
                self._microphone_lost, self._microphone_fault = False, None
            case ev.AnnouncementFinished(number, outcome) if (
                number == self._tests and self._test == "playing"
            ):
                self._test = "done" if outcome is ev.Outcome.SPOKEN else "failed"
            case _:
                pass
        return False

    def _goes_by_key(self) -> bool:
        if self._problems():  # it may have been plugged in meanwhile
            self._look()
            self._listen()
        phrases = protocols.load_phrases(self._chosen.protocol.language)
        for problem in self._problems():
            self._tell(phrases[problem].format(models=", ".join(self._missing_models)))
        return not self._problems()

    def _choose(self, choice: Choice) -> bool:
        settings = self._chosen.settings
        if choice.protocol is not None and choice.protocol in self._known:
            protocol = self._known[choice.protocol]
            if protocol.language != self._chosen.protocol.language:
                self._server.set_texts(protocol.language, protocols.load_phrases(protocol.language))
                self._quiet()
            self._chosen = replace(self._chosen, protocol_name=choice.protocol, protocol=protocol)
            self._commands = spoken_commands(self._chosen)
            self._minutes = round(protocol.seconds / 60)
        if choice.minutes is not None:
            least, most = protocols.minutes_of(self._chosen.protocol)
            self._minutes = min(most, max(least, choice.minutes))
        if choice.microphone is not None and choice.microphone != settings.hearing.microphone:
            hearing = settings.hearing.model_copy(update={"microphone": choice.microphone})
            self._chosen = replace(self._chosen, settings=settings.model_copy(update={"hearing": hearing}))
            self._listen()
        if choice.speaker is not None and choice.speaker != settings.speaking.speaker:
            speaking = settings.speaking.model_copy(update={"speaker": choice.speaker})
            self._chosen = replace(self._chosen, settings=settings.model_copy(update={"speaking": speaking}))
            self._quiet()
        if choice.timer_only is not None:
            self._chosen = replace(self._chosen, timer_only=choice.timer_only)
        if choice.do == "test-sentence":
            self._say_test()
        if choice.do == "look-again":
            self._look()
            self._listen()
        return choice.do == "ready" and not self._problems()

    def _with_minutes(self) -> Protocol:
        protocol = self._chosen.protocol
        own = round(protocol.seconds / 60)
        return protocol if self._minutes == own else protocols.with_minutes(protocol, self._minutes)

    def _problems(self) -> list[str]:
        """What stands in the way of telling voices apart, by the keys of the phrases that say so."""
        if self._chosen.timer_only:
            return []
        found = ["setup.no-microphone"] if not self._devices["input"] else []
        return found + (["setup.no-model"] if self._missing_models else [])

    # ------------------------------------------------------------ the parts tried out here

    def _look(self) -> None:
        """What is plugged in and fetched now."""
        with contextlib.suppress(FacilitatorError):  # then there are none, which is shown
            soundcard.restart()
        for direction in self._devices:
            try:
                found = [device.name for device in soundcard.devices() if device.direction == direction]
            except FacilitatorError:
                found = []
            self._devices[direction] = list(dict.fromkeys(found))
        wanted = models.load_manifest().default_encoder()
        good = (models.State.GOOD, models.State.UNCHECKED)
        self._missing_models = [] if models.state_of(wanted) in good else [wanted.name]
        self._commands = spoken_commands(self._chosen)

    def _listen(self) -> None:
        """For the level meter: the microphone that is chosen now."""
        if self._hearing is not None:
            self._let_go(self._hearing.stop)
        self._hearing, self._microphone_lost, self._microphone_fault = None, False, None
        if self._devices["input"] and not self._missing_models:
            settings = self._chosen.settings.hearing
            self._hearing = HearingProcess(Microphone(settings.microphone), settings, self._happened)
            self._hearing.start()
            self._listens_since = time.monotonic()

    def _say_test(self) -> None:
        if self._test == "playing":
            return
        language = self._chosen.protocol.language
        text = protocols.load_phrases(language)["setup.test-sentence"]
        if self._speaking is None:
            settings = speaking_in(self._chosen.settings.speaking, language)
            self._speaking = SpeakingProcess(settings, self._happened)
            self._speaking.start([text])
        self._tests += 1
        self._test = "playing"
        self._speaking.say(self._tests, text)

    def _quiet(self) -> None:
        if self._speaking is not None:
            self._let_go(self._speaking.close)
        self._speaking, self._test = None, "idle"

    def _let_go(self, stop: Callable[[], None]) -> None:
        """Ending a part can take seconds, in which the page goes on answering."""
        self._tests += 1  # what the former voice still reports is not about the next test
        ending = threading.Thread(target=stop, name="setup-ending", daemon=True)
        ending.start()
        self._endings.append(ending)

    def _close(self) -> None:
        """Everything tried out here has ended before the session's own parts begin."""
        self._quiet()
        if self._hearing is not None:
            self._let_go(self._hearing.stop)
        for ending in self._endings:
            ending.join(_END_SECONDS)

    # ------------------------------------------------------------ what people see

    def _show(self) -> None:
        chosen, (least, most) = self._chosen, protocols.minutes_of(self._chosen.protocol)
        planned = self._with_minutes()
        self._server.show(
            {
                "stage": "setup",
                "protocols": [
                    {"name": name, "title": protocol.title, "language": protocol.language}
                    for name, protocol in self._known.items()
                ],
                "protocol": chosen.protocol_name,
                "description": chosen.protocol.description,
                "minutes": self._minutes,
                "least": least,
                "most": most,
                "phases": [[phase.title, round(phase.seconds)] for phase in planned.phases],
                "microphones": self._devices["input"],
                "microphone": chosen.settings.hearing.microphone,
                "microphone_state": self._microphone_state(),
                "microphone_text": self._microphone_text(),
                "level": self._level(),
                "speakers": self._devices["output"],
                "speaker": chosen.settings.speaking.speaker,
                "test": self._test,
                "missing_models": self._missing_models,
                "commands": self._commands,
                "consent": self._consent(),
                "timer_only": chosen.timer_only,
                "contacts": list(chosen.settings.session.support_contacts),
                "problems": self._problems(),
            }
        )

    def _consent(self) -> str:
        chosen = self._chosen
        wording = protocols.load_wording(chosen.protocol.language)
        wording = replace(wording, microphone=bool(self._devices["input"]) or not chosen.timer_only)
        listening = wording.listening(chosen.protocol, timer_only=chosen.timer_only)
        return consent(listening, understands=bool(self._commands["engine"]))

    def _microphone_state(self) -> str:
        if not self._devices["input"]:
            return "missing"
        if self._microphone_lost:
            return "lost"
        if self._hearing is not None and self._hearing.level > _NO_SOUND_DBFS:
            return "hears"
        return "starting" if time.monotonic() - self._listens_since < _OPEN_SECONDS else "lost"

    def _microphone_text(self) -> str:
        """The key of what is said of it: why it is lost, where that is known."""
        state, fault = self._microphone_state(), self._microphone_fault
        return f"microphone.lost.{fault.value}" if state == "lost" and fault else f"setup.microphone.{state}"

    def _level(self) -> float:
        """From 0 to 1."""
        if self._hearing is None or self._microphone_lost:
            return 0.0
        share = (self._hearing.level - _QUIETEST_DBFS) / (_LOUDEST_DBFS - _QUIETEST_DBFS)
        return round(min(1.0, max(0.0, share)), 2)


class SummaryStage:
    """After the session: the screens show that it is over, until somebody ends it or nobody looks any more.

    The summary (times and shares) tells how often the presenter was reminded. So it is on no screen by
    itself: a page of this machine may ask for it, for itself alone, and so may whoever sits at the keyboard.
    """

    def __init__(
        self,
        server: RoomServer | None,
        summary: dict[str, Any],
        print_it: Callable[[], None] = lambda: None,
        *,
        by_key: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """server: None where there is only the terminal. print_it: shows the summary there.

        by_key: somebody sits at the terminal, so it is waited for them.
        """
        self._server = server
        self._summary = summary
        self._print_it, self._by_key = print_it, by_key
        self._clock = clock
        self._inbox: queue.Queue[Choice | str] = queue.Queue(_INBOX)

    def key(self, name: str) -> None:
        """A key of the terminal; any thread may."""
        self._put(name)

    def _put(self, item: Choice | str) -> bool:
        with contextlib.suppress(queue.Full):
            self._inbox.put_nowait(item)
        return True

    def run(self) -> None:
        """Returns when somebody ends it; at once where nobody is there who could."""
        if self._server is not None:
            self._server.on_choice = self._put
            self._server.on_summary = lambda: self._summary
        begun = seen = self._clock()
        with noted() as told:
            while not told:
                now = self._clock()
                seen = now if self._by_key or (self._server is not None and self._server.hosts) else seen
                if now - seen > (_RELOAD_SECONDS if seen > begun else 0.0) or now - begun > _READING_SECONDS:
                    return
                try:
                    item = self._inbox.get(timeout=_METER_SECONDS)
                except queue.Empty:
                    continue
                if item == _SUMMARY_KEY:
                    self._print_it()
                elif isinstance(item, str) or item.do == "discard":
                    return


_SUMMARY_KEY = "s"
_RELOAD_SECONDS = 5.0  # a page that is loaded anew is gone for a moment
_READING_SECONDS = 1800.0  # then the room has certainly been left
