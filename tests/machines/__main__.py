"""Make all Debians that the tests boot, one after the other; those that are kept stay as they are.

A test that comes for one earlier waits, or makes it itself.
"""

from __future__ import annotations

from tests.docs import stories
from tests.machines.packages import build_dependencies
from tests.support import thorough
from tests.support.booted_base import MORE, base_of

BUILDER = [*build_dependencies(), "lintian"]

for release, more in (
    ("trixie", []),
    ("bookworm", []),
    (stories.RELEASE, MORE),
    *([("trixie", BUILDER), ("bookworm", BUILDER)] if thorough.NIGHTLY else []),
):
    with base_of(release, more):
        pass
