"""minirun: Cloud Run and Knative Serving in small.

A serverless container platform that a person can read in a weekend. Each folder is a room with one idea;
`platform.py` is the one place where the rooms are put together.
"""

import os

__version__ = "0.1.0"

if os.environ.get("MINIRUN_OVERLAY"):
    from minirun.overlay import install

    install()
