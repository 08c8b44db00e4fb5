"""The HTTP and gRPC fronts over the store: the map of this room, in reading order.

Every front: `app` has all addresses, `server` serves them, `connect` refuses tunnels or leads them to the TLS
port, `guard` keeps strangers and web pages out, `hosts` tells Google's names from all others.

What they share: `requests` (targets, flags, answers), `bodies` (bytes to objects; `protobuf` for core kinds)
and `status` (errors as Kubernetes says them; `google` translates them into Google's form).

Kubernetes and Knative: `kubernetes` has the verbs. Reading goes through `listoptions`, `selectors` and
`watching`; writing through `writing` (who owns which field), `patching`, `admission` (defaults and rules) and
`deleting`; `jobs` has what is done with Jobs besides. `tables` shows answers as kubectl prints them,
`reviews` says who one is, and `discovery` and `openapi` describe the API itself.

minirun.dev: `images` builds and lists what `image_keeper` keeps, `logs` gives stored log entries (and a pod's
log). `operator_settings` comes before any client: the ConfigMaps of `knative-serving` as operators set them.

Cloud Run: `managed` is Cloud Run's rules over the verbs above, in v1's shapes. `cloudrun` is the v1 front.
`cloudrun_v2` has the methods of v2 over request messages, which `rest_v2` makes of HTTP requests and `rpc` of
gRPC's; `resource_names` reads their names and pages, `operations` are what writes answer. v2's documents are
made of v1's by `mapping` with the tables in `mapping_services` and `mapping_jobs`.

Beside Cloud Run: `iam` (policies), `cloud_logging` with `logfilter`, `neighbours` (the small APIs that gcloud
asks on its way), and `tokens` over the keys in `keyring`, of which `metadata` gives each instance its share.
"""
