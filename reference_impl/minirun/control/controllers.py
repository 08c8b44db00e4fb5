"""Runs all reconcilers: who is called when what changes, and the order of start and stop."""

from minirun.control.context import Context


class Controllers:
    """The reconcilers of a platform at work."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx

    async def start(self) -> None:
        """Ends left-overs, then reconciles everything once; returns when all routes are programmed."""

    async def stop(self) -> None:
        """Stops reconciling and ends all instances within their grace."""
