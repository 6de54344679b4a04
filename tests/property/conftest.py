"""A profile for runs that only ask whether a test fails: no time goes into smaller examples."""

from __future__ import annotations

from hypothesis import Phase, settings

settings.register_profile("unshrunk", phases=[Phase.explicit, Phase.generate])
