"""The HTTP data path: accept, route, take a slot, forward, stream, upgrade, time out.

Counterparts in Knative Serving: the ingress (Kourier's Envoy), the activator's proxy and queue-proxy, in one.
"""
