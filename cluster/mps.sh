#!/usr/bin/env bash
# NVIDIA's Multi-Process Service, one daemon per node, so that the processes that share a GPU by fractions run at the
# same time instead of taking turns. Ray's fractions are arithmetic: without this daemon four tasks of gpu=0.25 are
# time-sliced. Processes find it by themselves, at its default place in /tmp. The price: a task that crashes inside
# the GPU may take those with it that share the GPU; they are trained again, like those of a lost node.
#
#   mps.sh start    harmless where the daemon runs already, and on a node without a GPU
#   mps.sh stop
set -euo pipefail

control() { nvidia-cuda-mps-control "$@"; }
answers() { control <<<get_server_list >/dev/null 2>&1; }

case ${1:-} in
start)
    if ! nvidia-smi --list-gpus >/dev/null 2>&1 || ! command -v nvidia-cuda-mps-control >/dev/null; then
        echo "no GPU, or no MPS in its driver: tasks that share a GPU will take turns"
    elif ! answers; then
        control -d
        answers
    fi
    ;;
stop) if answers; then control <<<quit; fi ;;
*)
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2
    exit 2
    ;;
esac
