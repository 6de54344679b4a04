"""What the API process counts, served as it is documented."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

import pytest

from headway.errors import UnavailableError
from headway_coordinator.application.completions import REFUSALS
from headway_coordinator.integrations.api_metrics import ApiMetrics

PAGE = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text()


def test_refusals_are_served_by_reason() -> None:
    metrics = ApiMetrics()
    metrics.refused("malformed")
    server, port = metrics.serve("127.0.0.1:0")
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            text = answer.read().decode()
        with pytest.raises(UnavailableError, match="cannot listen"):
            metrics.serve(f"127.0.0.1:{port}")
    finally:
        server.shutdown()
        server.server_close()
    assert 'headway_api_completions_refused_total{reason="malformed"} 1.0' in text


def test_the_page_names_the_metric_and_every_reason() -> None:
    [section] = re.findall(r"^## The API$(.*?)^## ", PAGE, re.MULTILINE | re.DOTALL)
    assert "headway_api_completions_refused_total" in section
    for reason in REFUSALS:
        assert f"`{reason.replace(' ', '_')}`" in section
