"""From a host name to a route, and from a route to the revision that serves the next request. Pure."""
