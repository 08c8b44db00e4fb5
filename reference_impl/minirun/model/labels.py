"""The keys of labels and annotations that minirun sets or reads.

Those of Knative are in knative/serving pkg/apis/serving/register.go; `minirun.dev/` ones are minirun's own.
"""

SERVICE = "serving.knative.dev/service"
SERVICE_UID = "serving.knative.dev/serviceUID"
CONFIGURATION = "serving.knative.dev/configuration"
CONFIGURATION_UID = "serving.knative.dev/configurationUID"
CONFIGURATION_GENERATION = "serving.knative.dev/configurationGeneration"
REVISION = "serving.knative.dev/revision"
REVISION_UID = "serving.knative.dev/revisionUID"
ROUTING_STATE = "serving.knative.dev/routingState"
ROUTING_STATE_MODIFIED = "serving.knative.dev/routingStateModified"
ROUTE = "serving.knative.dev/route"
ROUTES = "serving.knative.dev/routes"
NO_GC = "serving.knative.dev/no-gc"
CREATOR = "serving.knative.dev/creator"
LAST_MODIFIER = "serving.knative.dev/lastModifier"
ROLLOUT = "serving.knative.dev/rollout"
ROLLOUT_DURATION = "serving.knative.dev/rollout-duration"
VISIBILITY = "networking.knative.dev/visibility"
JOB = "run.googleapis.com/job"
EXECUTION = "run.googleapis.com/execution"
TASK_INDEX = "run.googleapis.com/taskIndex"
RUNNING_STATE = "run.googleapis.com/runningState"
RUN_CREATOR = "run.googleapis.com/creator"
RUN_LAST_MODIFIER = "run.googleapis.com/lastModifier"
TASK_ATTEMPT = "run.googleapis.com/taskAttempt"
CANCELLED_ANNOTATION = "minirun.dev/cancelled"  # of an Execution: somebody wants it to end
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
PORT_ANNOTATION = "minirun.dev/port"
IDENTITY_ANNOTATION = "minirun.dev/identity"
IMAGE_NOTE_ANNOTATION = "minirun.dev/image-note"  # of a Revision: what users should know of its image
RUN = "run.googleapis.com/"  # before the names of Cloud Run's own annotations and labels
