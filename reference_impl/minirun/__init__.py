"""minirun: Cloud Run and Knative Serving in small.

A serverless container platform that a person can read in a weekend. Each folder is a room with one idea;
`platform.py` is the one place where the rooms are put together.
"""

__version__ = "0.1.0"
