"""Timed inputs for a replay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.plenty import tries
from voice_facilitator.files import protocols
from voice_facilitator.files.checked_toml import FileMistakes
from voice_facilitator.session.events import Action
from voice_facilitator.tools import script

PROTOCOL = protocols.load("balint-45")


def test_entries_come_in_time_order() -> None:
    text = '{"t": 91.4, "do": "next"}\n\n{"t": 0, "do": "phase", "name": "discussion"}\n'
    entries = script.parse(text, PROTOCOL, "s.jsonl")
    assert [(entry.t, entry.request.action) for entry in entries] == [(0, Action.PHASE), (91.4, Action.NEXT)]
    assert entries[0].request.phase == "discussion"


def test_more_time_may_say_how_much() -> None:
    entries = script.parse('{"t": 1, "do": "more-time", "seconds": 300}', PROTOCOL, "s.jsonl")
    assert entries[0].request.seconds == 300


def test_every_mistake_is_reported_with_its_line() -> None:
    text = "\n".join(
        [
            '{"t": 1, "do": "next"}',
            "not json",
            '{"t": -1, "do": "next"}',
            '{"t": 2, "do": "nxt"}',
            '{"t": 3, "do": "phase", "name": "discusion"}',
            '{"t": 4, "do": "more-time", "seconds": "two"}',
            '{"when": 5, "do": "next"}',
            "[]",
            '{"t": true, "do": "next"}',
            '{"t": 1e999, "do": "next"}',
            '{"t": 6, "do": "next", "name": "story"}',
        ]
    )
    with pytest.raises(FileMistakes) as caught:
        script.parse(text, PROTOCOL, "s.jsonl")
    assert [mistake.line for mistake in caught.value.mistakes] == list(range(2, 12))
    assert 'Did you mean "next"?' in caught.value.message
    assert 'Did you mean "discussion"?' in caught.value.message


@given(st.text(max_size=200))
@tries(200)
def test_any_text_is_a_script_or_a_named_error(text: str) -> None:
    try:
        entries = script.parse(text, PROTOCOL, "s.jsonl")
    except FileMistakes as error:
        assert error.mistakes
    else:
        assert entries == sorted(entries, key=lambda entry: entry.t)


@given(
    st.dictionaries(
        st.sampled_from(["t", "do", "name", "seconds", "x"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from([*Action, "story"]),
    )
)
@tries(300)
def test_any_object_is_an_entry_or_a_named_error(data: dict[str, object]) -> None:
    import json

    try:
        script.parse(json.dumps(data), PROTOCOL, "s.jsonl")
    except FileMistakes as error:
        assert error.mistakes[0].line == 1
