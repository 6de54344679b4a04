"""The `headway` command: words in, one document or text out, an exit status that can be trusted.

It knows the HTTP client and the definition language; it knows neither database nor broker, and it
decides nothing about runs. Services add their commands by entry point (group `headway.commands`);
each command's module is imported when it is asked for and not before, so that `headway --help`
stays quick.

Exit status: 0 done, 1 the run ended not succeeded, 2 wrong use or invalid definition, 3 nothing
answers, 4 refused, 130 interrupted.
"""

from __future__ import annotations
