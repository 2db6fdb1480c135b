#!/usr/bin/env bash
# Installs in a node's container what every node must have alike: the project from dist/ and its needs at the versions
# of constraints.txt. An image built from Dockerfile has them; there only the project itself is installed anew.
#
#   setup.sh worker aws|gcp|azure
#   setup.sh head aws|gcp|azure      also PostgreSQL
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
role=${1:-} cloud=${2:-}

# What reads and writes the cloud's object store (checkpoints on every node, artifacts on the head) and, for the
# autoscaler, which runs in the head's container, machines. Azure's versions are those that Ray itself asks for.
declare -A packages=(
    [aws]="s3fs==2026.9.0 boto3==1.43.117"
    [gcp]="gcsfs==2026.10.1 google-api-python-client==2.202.0 google-cloud-storage==3.17.1"
    [azure]="adlfs==2026.8.0 azure-core==1.35.0 azure-identity==1.23.1 azure-mgmt-compute==35.0.0 azure-mgmt-network==29.0.0
        azure-mgmt-resource==24.0.0 azure-common==1.1.28 msrest==0.7.1 msrestazure==0.6.4.post1
        azure-storage-blob==12.26.0"
)
if [[ ! $role =~ ^(head|worker)$ || -z ${packages[$cloud]:-} ]]; then
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2
    exit 2
fi

wheels=("$here"/dist/memory_study-*.whl)
if [[ ${#wheels[@]} != 1 || ! -f ${wheels[0]} ]]; then
    echo "error: $here/dist must hold one wheel of the project; README.md says how to make it" >&2
    exit 1
fi

python_packages() { pip install --quiet --no-cache-dir --constraint "$here/dist/constraints.txt" "$@"; }

python -c 'import sys; assert sys.version_info[:2] == (3, 11), "constraints.txt was tested with Python 3.11"'
read -ra drivers <<<"${packages[$cloud]//$'\n'/ }"
python_packages "${wheels[0]}[cluster]" "${drivers[@]}"
python_packages --no-deps --force-reinstall "${wheels[0]}" # its code may have changed under the same version
if [[ $role == head ]] && ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then
    # The package would make and start a server of its own; services.sh makes ours.
    echo 'create_main_cluster = false' | sudo install -D /dev/stdin /etc/postgresql-common/createcluster.conf
    sudo apt-get update --quiet --quiet
    sudo DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --quiet --no-install-recommends postgresql
fi
