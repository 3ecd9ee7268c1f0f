"""Run by every Python process at its start whose `PYTHONPATH` is this folder: `kit.proxy.FLUSH_SOON`."""

import proxy.limits

proxy.limits.LOG_FLUSH_INTERVAL = 0.02  # s
