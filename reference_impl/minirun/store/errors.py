"""What the store refuses, and why."""


class StoreError(Exception):
    """Base of all refusals."""


class NotFoundError(StoreError):
    """No object of that kind, namespace and name."""


class AlreadyExistsError(StoreError):
    """An object of that kind, namespace and name is there already."""


class ConflictError(StoreError):
    """The write was based on an older version of the object, or on another object of the same name (uid)."""


class GoneError(StoreError):
    """A watch asked to start at a version that is no longer kept; list again and watch from there."""

    def __init__(self, asked: int, oldest: int) -> None:
        super().__init__(f"too old resource version: {asked} ({oldest})")


class StoreUnusableError(StoreError):
    """The store's file can't be used: locked by another platform, damaged, or of a newer minirun."""
