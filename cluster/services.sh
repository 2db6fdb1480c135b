#!/usr/bin/env bash
# What runs beside Ray on the head: the cluster's token, PostgreSQL, and MLflow's server for its pages. PostgreSQL and
# MLflow listen on the loopback only; tunnels lead there (README.md).
#
#   services.sh token     make the cluster's token, unless there is one
#   services.sh start     token, PostgreSQL, MLflow; what runs already is left alone
#   services.sh stop      back up, then end MLflow and PostgreSQL
#   services.sh backup    copy the database to $MEMORY_STUDY_BACKUP; `start` does so every 15 minutes, too
#   services.sh backups   list those copies: the last one of each hour, by its name
#   services.sh restore NAME    go back to one of them; the database as it is now is put aside on this disk
#
# Settings come from the environment; the defaults are for the head's container:
#   MEMORY_STUDY_STORE    folder on a disk that outlives the container: database, password, logs
#   MEMORY_STUDY_BACKUP   where to keep copies of the database (s3://, gs://, abfs://, file:///): a database that is new
#                         and empty starts from the last one, so tearing the head down loses at most 15 minutes of results
#   RAY_AUTH_TOKEN_PATH   the token's file, also read by Ray
#   PGPASSFILE            the password's file, also read by every client of PostgreSQL: no URI has to hold it
#   POSTGRES_PORT, MLFLOW_PORT, MEMORY_STUDY_BACKUP_SECONDS
set -euo pipefail
umask 077 # all that is made here is for its owner alone; Ray's own token file would be readable by everybody

store=${MEMORY_STUDY_STORE:-$HOME/store}
token=${RAY_AUTH_TOKEN_PATH:-$HOME/.ray/auth_token}
export PGPASSFILE=${PGPASSFILE:-$store/pgpass}
postgres_port=${POSTGRES_PORT:-5432} mlflow_port=${MLFLOW_PORT:-5000}
database=memory_study
uri=postgresql+psycopg2://$database@127.0.0.1:$postgres_port/$database
data=$store/postgresql
copies=${MEMORY_STUDY_BACKUP:-}
copies=${copies%/}
# Ids of processes mean nothing after a reboot or in the next container, both of which the store's disk outlives.
running=${TMPDIR:-/tmp}/memory-study-$UID-$(cksum <<<"$store" | cut -d ' ' -f 1)

random_hex() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

make_token() {
    if [[ ! -s $token ]]; then
        mkdir -p "$(dirname "$token")"
        random_hex >"$token"
    fi
    chmod 600 "$token"
}

make_password() {
    [[ -s $PGPASSFILE ]] || printf '127.0.0.1:*:*:%s:%s\n' "$database" "$(random_hex)" >"$PGPASSFILE"
    chmod 600 "$PGPASSFILE" # PostgreSQL's clients ignore a file that others can read
}

# Debian and Ubuntu keep the server's programs off the path, in a folder for each version.
server() {
    local program=$1 found
    shift
    found=$(command -v "$program" || find /usr/lib/postgresql -path "*/bin/$program" 2>/dev/null | sort -V | tail -n 1)
    [[ -n $found ]] || { echo "error: $program is not installed; run setup.sh head" >&2 && exit 1; }
    "$found" "$@"
}

client() { # the same connection for each of PostgreSQL's clients; the password comes from $PGPASSFILE
    local program=$1
    shift
    server "$program" --host 127.0.0.1 --port "$postgres_port" --username "$database" --no-password "$@"
}

copy() { # a file between this disk and an object store, with the drivers that pyarrow brings
    python - "$1" "$2" <<'PYTHON'
import sys
from pyarrow import fs
def located(place):
    return fs.FileSystem.from_uri(place) if "://" in place else (fs.LocalFileSystem(), place)
(source, path), (target, copy) = map(located, sys.argv[1:])
if source.get_file_info(path).type is fs.FileType.NotFound:
    sys.exit(44)
target.create_dir(copy.rpartition("/")[0], recursive=True)
fs.copy_files(path, copy, source_filesystem=source, destination_filesystem=target)
PYTHON
}

backup() {
    [[ -n $copies ]] || { echo "no backup: MEMORY_STUDY_BACKUP names no place" && return; }
    client pg_dump --format custom --file "$store/backup.part" "$database"
    mv "$store/backup.part" "$store/backup"
    # A new name each hour: what is wrong in the database, too, is copied within minutes, and often seen only later.
    copy "$store/backup" "$copies/memory_study-$(date --utc +%Y-%m-%dT%HZ).dump"
}

backups() { # oldest first
    python - "$copies" <<'PYTHON'
import sys
from pyarrow import fs
place = sys.argv[1]
files, path = fs.FileSystem.from_uri(place) if "://" in place else (fs.LocalFileSystem(), place)
found = files.get_file_info(fs.FileSelector(path, allow_not_found=True))
print(*sorted(file.base_name for file in found if file.base_name.startswith("memory_study-")), sep="\n")
PYTHON
}

restore() { # into a database that was made just now: the copy that was fetched to be restored, else the last one
    local last
    if [[ ! -s $store/chosen ]]; then
        [[ -n $copies ]] || return 0
        last=$(backups) # an object store that cannot be read is no reason to start from nothing
        last=${last##*$'\n'}
        [[ -n $last ]] || { echo "no backup in $copies yet: the database starts empty" && return; }
        copy "$copies/$last" "$store/chosen"
        echo "the database starts from $copies/$last"
    fi
    client pg_restore --exit-on-error --no-owner --dbname "$database" "$store/chosen"
    rm "$store/chosen"
}

go_back() { # to one of the backups
    copy "$copies/$1" "$store/chosen.part" || { echo "error: no backup $1; services.sh backups lists them" >&2 && exit 1; }
    if server pg_ctl --pgdata "$data" status >/dev/null; then
        stop
    fi
    mv "$data" "$data-$(date --utc +%Y-%m-%dT%H%M%SZ)"
    mv "$store/chosen.part" "$store/chosen"
    start
}

forget_dead_server() { # whose lock outlives its machine, too, and may then name any process: nobody could start again
    local each
    for each in /proc/[0-9]*/cwd; do
        [[ ! $each -ef $data ]] || return 0 # all of a server's processes work in its folder
    done
    rm -f "$data/postmaster.pid"
}

start_postgresql() {
    make_password
    if [[ ! -s $data/ready ]]; then
        rm -rf "$data" # of a first start that was cut short: nothing was ever written by a sweep
        server initdb --pgdata "$data" --username "$database" --auth scram-sha-256 --encoding UTF8 \
            --pwfile <(cut -d : -f 5 "$PGPASSFILE") >/dev/null
    fi
    chmod 700 "$data" # Kubernetes may open the folder to a group, and PostgreSQL then refuses to start
    forget_dead_server
    if ! server pg_ctl --pgdata "$data" status >/dev/null; then
        server pg_ctl --pgdata "$data" --log "$store/postgresql.log" --wait --silent start --options \
            "-c listen_addresses=127.0.0.1 -c port=$postgres_port -c unix_socket_directories=''"
    fi
    if [[ ! -s $data/ready ]]; then
        client createdb "$database"
        restore
        date >"$data/ready"
    fi
}

began() { # when a process started, in clock ticks since the machine did; nothing if it has ended
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
    stat=${stat##*) } # what stands before is the program's name, which may hold anything
    [[ $stat == [ZX]* ]] || cut -d ' ' -f 20 <<<"$stat"
}

runs() { # name: whether the process that was started under this name is there
    local id ticks
    [[ -s $running/$1 ]] && read -r id ticks <"$running/$1" && [[ $(began "$id") == "$ticks" ]]
}

in_background() { # name, command...: detached, so that it outlives the shell that `ray up` opens
    local name=$1
    shift
    runs "$name" && return
    setsid "$@" >>"$store/$name.log" 2>&1 </dev/null &
    echo "$! $(began $!)" >"$running/$name"
}

start_mlflow() {
    # The URI stays out of the command line. Only reading goes through this server: sweeps write to the database.
    # MLflow's own jobs, which judge the answers of language models, would be eight more processes.
    MLFLOW_BACKEND_STORE_URI=$uri MLFLOW_DEFAULT_ARTIFACT_ROOT=${_MLFLOW_SERVER_ARTIFACT_ROOT:-$store/artifacts} \
        MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
        in_background mlflow mlflow server --host 127.0.0.1 --port "$mlflow_port" --workers 2
    for _ in {1..120}; do
        curl --silent --fail --output /dev/null "http://127.0.0.1:$mlflow_port/health" && return
        runs mlflow || break
        sleep 1
    done
    echo "error: MLflow's server does not answer; see $store/mlflow.log" >&2
    exit 1
}

back_up_regularly() {
    while sleep "${MEMORY_STUDY_BACKUP_SECONDS:-900}"; do
        backup || echo "$(date): the backup failed; the next one is tried in turn" >&2
    done
}

works() { # whether a process of a group does; in a container there may be nobody to clear away those that have ended
    local each stat state group
    for each in /proc/[0-9]*/stat; do
        { read -r stat <"$each"; } 2>/dev/null || continue
        read -r state _ group _ <<<"${stat##*) }"
        [[ $group != "$1" || $state == [ZX] ]] || return 0
    done
    return 1
}

end() { # by the id of its own process group
    if runs "$1"; then
        local group
        read -r group _ <"$running/$1"
        kill -- "-$group"
        for _ in {1..100}; do # a server answers what it has begun to answer
            works "$group" || break
            sleep 0.2
        done
        kill -9 -- "-$group" 2>/dev/null || true
    fi
    rm -f "$running/$1"
}

start() {
    mkdir -p "$store" "$running"
    [[ -O $running ]] || { echo "error: $running belongs to somebody else; remove it" >&2 && exit 1; }
    make_token
    start_postgresql
    start_mlflow
    in_background backup "${BASH_SOURCE[0]}" back-up-regularly
}

stop() {
    end backup
    end mlflow
    server pg_ctl --pgdata "$data" --mode fast --silent stop
}

case "${1:-} $#" in
"token 1") make_token ;;
"start 1") start ;;
"backup 1") backup ;;
"backups 1") backups ;;
"restore 2") go_back "$2" ;;
"back-up-regularly 1") back_up_regularly ;;
"stop 1")
    backup
    stop
    ;;
*)
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2
    exit 2
    ;;
esac
