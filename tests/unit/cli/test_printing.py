from __future__ import annotations

import json

import pytest

from headway.cli.printing import clean, print_document

STEERING = "\x1b[2J\x9b31m\x7f\u202egnp.exe\u2066"


def test_no_text_steers_the_terminal() -> None:
    assert clean(STEERING + "\n\t") == "\ufffd[2J\ufffd31m\ufffd\ufffdgnp.exe\ufffd\n\t"


def test_a_document_is_escaped_and_means_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    print_document({STEERING: [STEERING, "é\U0001f600"]})
    printed = capsys.readouterr().out
    assert json.loads(printed) == {STEERING: [STEERING, "é\U0001f600"]}
    assert "é\U0001f600" in printed
    assert clean(printed) == printed
