"""Why a step ended as it did: the stable reason codes, in words for people."""

from __future__ import annotations

_WORDS = {
    "condition": "its condition was false",
    "timed_out": "over its timeout",
    "queue_timeout": "no worker took it in time",
    "infra_lost": "its workers were lost too often",
    "worker_restarted": "its worker was restarted",
    "lease_expired": "its worker was not heard of any more",
    "preempted": "its worker was shut down",
    "expression_error": "an expression failed",
    "exit_status": "its command failed",
    "secret_missing": "a secret that it needs is not set",
    "secret_unreadable": "a secret that it needs cannot be decrypted",
}


def reason_words(state: str, reason: str) -> str:
    """Return the reason of a step in `state` as people say it; an unknown code as it is."""
    if reason == "upstream":
        skipped = "not called for by the steps it needs"
        return skipped if state == "skipped" else "a step it needs failed"
    if " " in reason:
        return reason  # a person's own words
    return _WORDS.get(reason, reason.replace("_", " "))
