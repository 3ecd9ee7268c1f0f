"""`python -m master.supervisor`: what `proxyctl run` becomes by exec. Options come as JSON in `OPTIONS_ENV`."""

from __future__ import annotations

import sys

from master.supervisor.main import main

sys.exit(main())
