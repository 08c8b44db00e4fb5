"""Starts and stops instances: `base` is the seam, `instance` the life cycle, `process` the runtime."""
