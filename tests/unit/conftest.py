from __future__ import annotations

import hypothesis

# No deadline: how long an example takes depends on the machine, not on the code.
hypothesis.settings.register_profile("unit", deadline=None)
hypothesis.settings.load_profile("unit")
