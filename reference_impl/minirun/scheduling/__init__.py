"""On which node and which GPU devices a pod goes. Pure: no sockets, no clock, no event loop."""
