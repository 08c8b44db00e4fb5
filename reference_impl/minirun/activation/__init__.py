"""Holds requests while no instance has room, and picks the instance for each. Knative's activator."""
