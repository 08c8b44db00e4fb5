"""Instances as containers of the Docker engine of this machine; see `runtime`."""
