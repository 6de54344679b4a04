"""References to secrets: found where the definition says them, and nowhere else."""

from __future__ import annotations

import pytest

from headway.spec.secrets import Use, fault_in, named_in, references, rendered, texts_with_secrets


@pytest.mark.parametrize(
    "text",
    [
        "secret://a",
        "Bearer secret://a-b_1",
        "a secret://a, secret://b.",
        "${{ params.x }} secret://a ${{ params.x }}",
        "plain",
        "secret:/a",
    ],
)
def test_a_good_text_has_no_fault(text: str) -> None:
    assert fault_in(text) is None


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("secret://", 0),
        ("x secret://-a", 2),
        ("secret://A", 0),
        ("secret://" + "a" * 64, 0),
        ("secret://a/b", 0),
        ("secret://${{ x }}", 0),
        ("secret://a${{ x }}", 0),
        ("${{ x }} secret://a secret://B", 20),
    ],
)
def test_a_bad_one_has_a_place_and_a_mend(text: str, offset: int) -> None:
    fault = fault_in(text)
    assert fault is not None
    assert fault.offset == offset
    assert fault.hint


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("secret://whole", True),
        ("https://host/bot-secret://a/send", True),
        ("https://host?key=secret://a", True),
        ("${{ params.base }}/x?key=secret://a", True),
        ("https://secret://host/x", False),
        ("https://user:secret://pw@host/", False),
    ],
)
def test_a_secret_in_an_address_comes_after_the_host(url: str, good: bool) -> None:
    assert (fault_in(url, is_url=True) is None) == good


def test_references_have_their_places() -> None:
    assert references("a secret://b/secret://c") == [("b", 2, 12), ("c", 13, 23)]


def test_only_the_texts_of_env_with_and_http_count() -> None:
    body = {
        "run": "echo secret://no",
        "env": {"A": "secret://a", "B": "x"},
        "with": {"list": [1, {"k": "x secret://b"}], "secret://key": None},
        "http": {"json": {"e": "${{ 'secret://no' }}"}},
    }
    assert texts_with_secrets(body) == [
        (("env", "A"), "secret://a"),
        (("with", "list", 1, "k"), "x secret://b"),
    ]
    assert named_in(body) == {"a", "b"}


def test_what_an_expression_gives_is_no_reference() -> None:
    given = {"x": "secret://evil", "n": 12}
    shown, uses = rendered(
        "${{ x }} secret://a ${{ n }} secret://b", ("env", "A"), given.__getitem__
    )
    assert shown == "secret://evil secret://a 12 secret://b"
    assert uses == [Use("a", ("env", "A"), 14), Use("b", ("env", "A"), 28)]
    assert all(shown.startswith(f"secret://{use.name}", use.start) for use in uses)
