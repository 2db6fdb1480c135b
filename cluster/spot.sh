#!/usr/bin/env bash
# Watches for the notice that a spot machine gets before it is taken away, and then drains the node: Ray starts no new
# task on it, tells running ones, and counts their end as a preemption instead of a failure.
#
#   spot.sh watch aws|gcp|azure    in the foreground, until a notice came and the node is drained
#   spot.sh start aws|gcp|azure    the same, detached; its log is /tmp/spot.log
#
# Kubernetes needs none of this: it ends a pod with SIGTERM, on which `ray start --block` drains by itself.
set -euo pipefail

metadata=${METADATA_URL:-http://169.254.169.254}
ask() { curl --silent --fail --max-time 3 "$@"; }

# AWS: a document appears 2 minutes ahead; until then the answer is 404.
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
aws_notice() {
    local session
    session=$(ask --request PUT --header 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$metadata/latest/api/token") &&
        ask --header "X-aws-ec2-metadata-token: $session" "$metadata/latest/meta-data/spot/instance-action" | grep -q action
}

# Google Cloud: turns TRUE 30 seconds ahead. https://cloud.google.com/compute/docs/instances/create-use-spot
gcp_notice() {
    ask --header 'Metadata-Flavor: Google' "$metadata/computeMetadata/v1/instance/preempted" | grep -qx TRUE
}

# Azure: an event, 30 seconds ahead or more. The first question switches the service on and may take minutes.
# https://learn.microsoft.com/azure/virtual-machines/linux/scheduled-events
azure_notice() {
    ask --header 'Metadata: true' "$metadata/metadata/scheduledevents?api-version=2020-07-01" |
        grep -qE '"EventType": *"Preempt"'
}

declare -A seconds=([aws]=115 [gcp]=25 [azure]=25)

watch_for() {
    until "$1_notice"; do
        sleep "${SPOT_POLL_SECONDS:-2}"
    done
    echo "$(date): this machine is about to be taken away; draining its node"
    ray drain-node --reason DRAIN_NODE_REASON_PREEMPTION --reason-message "spot notice of $1" \
        --deadline-remaining-seconds "${seconds[$1]}"
}

case ${1:-}:${2:-} in
watch:aws | watch:gcp | watch:azure) watch_for "$2" ;;
start:aws | start:gcp | start:azure) setsid "${BASH_SOURCE[0]}" watch "$2" >>/tmp/spot.log 2>&1 </dev/null & ;;
*)
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2
    exit 2
    ;;
esac
