#!/bin/sh
# Runs a command with a throw-away PostgreSQL and a throw-away Redis beside it,
# and stops both afterwards, however the command ends.
#
#   test/engines.sh go test ./...
#
# The command finds them in KEYSTILE_TEST_POSTGRES and KEYSTILE_TEST_VALKEY,
# which are printed as well. Data, sockets and ports belong to this run alone.
# No test takes the machine's power away, so PostgreSQL does not wait for its disk;
# KEYSTILE_TEST_FSYNC=on has it wait, for figures.
# Missing servers are installed with apt-get if this runs as root on Debian.
set -eu

if [ $# -eq 0 ]; then
    echo "usage: $0 COMMAND [ARGUMENT...]" >&2
    exit 2
fi

# Prints the newest installed PostgreSQL's programs' directory.
postgres_bin() {
    if command -v initdb >/dev/null 2>&1; then
        dirname "$(command -v initdb)"
        return
    fi
    for directory in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -t/ -k5 -n -r); do
        if [ -x "$directory/initdb" ]; then
            echo "$directory"
            return
        fi
    done
}

# Prints the server that speaks the Redis protocol.
valkey_bin() {
    command -v valkey-server || command -v redis-server || true
}

if [ -z "$(postgres_bin)" ] || [ -z "$(valkey_bin)" ]; then
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        echo "$0: PostgreSQL and Redis are needed; on Debian: apt-get install postgresql redis-server" >&2
        exit 1
    fi
    echo "$0: installing postgresql and redis-server" >&2
    {
        # The packages would start servers of their own.
        mkdir -p /etc/postgresql-common
        [ -e /etc/postgresql-common/createcluster.conf ] || echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
        apt-get update
        DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y --no-install-recommends postgresql redis-server
    } >&2
fi
bin=$(postgres_bin)
valkey=$(valkey_bin)

work=$(mktemp -d "${TMPDIR:-/tmp}/keystile-engines.XXXXXX")
chmod 755 "$work"
valkey_pid=
cleanup() {
    status=$?
    trap - EXIT INT TERM HUP
    if [ -n "$valkey_pid" ]; then
        kill "$valkey_pid" 2>/dev/null || true
        wait "$valkey_pid" 2>/dev/null || true
    fi
    if [ -e "$work/data/postmaster.pid" ]; then
        as_owner "$bin/pg_ctl" -D "$work/data" -m immediate -w stop >/dev/null 2>&1 || true
    fi
    rm -rf "$work"
    exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# PostgreSQL refuses to run as root.
as_owner() {
    if [ "$(id -u)" -eq 0 ]; then
        if command -v runuser >/dev/null 2>&1; then
            (cd / && runuser -u postgres -- "$@")
        else
            (cd / && su postgres -s /bin/sh -c '"$0" "$@"' -- "$@")
        fi
    else
        "$@"
    fi
}

# Prints one of 20000 ports below the range the system gives out, by the process
# id and the attempt; the server itself finds out whether it is free.
port() {
    echo $((12000 + ($$ * 7 + $1 * 1009) % 20000))
}

mkdir "$work/data" "$work/socket" "$work/valkey"
if [ "$(id -u)" -eq 0 ]; then
    chown postgres "$work/data" "$work/socket"
fi
as_owner "$bin/initdb" -D "$work/data" -U postgres --auth=trust --encoding=UTF8 --locale=C >"$work/initdb.log" 2>&1 || {
    cat "$work/initdb.log" >&2
    exit 1
}

attempt=0
until
    postgres_port=$(port $attempt)
    as_owner "$bin/pg_ctl" -D "$work/data" -w -t 30 -l "$work/data/server.log" \
        -o "-c listen_addresses=127.0.0.1 -c port=$postgres_port -c unix_socket_directories=$work/socket -c fsync=${KEYSTILE_TEST_FSYNC:-off} -c max_connections=300" \
        start >"$work/pg_ctl.log" 2>&1
do
    attempt=$((attempt + 1))
    if [ $attempt -ge 10 ]; then
        cat "$work/pg_ctl.log" "$work/data/server.log" >&2
        exit 1
    fi
done

attempt=10
while :; do
    valkey_port=$(port $attempt)
    "$valkey" --port "$valkey_port" --bind 127.0.0.1 --unixsocket "$work/valkey/socket" --dir "$work/valkey" \
        --save '' --appendonly no --maxmemory-policy noeviction --daemonize no >"$work/valkey/log" 2>&1 &
    valkey_pid=$!
    # It listens on its socket after its port, and ends if the port is taken.
    while kill -0 "$valkey_pid" 2>/dev/null && [ ! -S "$work/valkey/socket" ]; do sleep 0.05; done
    if kill -0 "$valkey_pid" 2>/dev/null; then
        break
    fi
    wait "$valkey_pid" || true
    valkey_pid=
    attempt=$((attempt + 1))
    if [ $attempt -ge 20 ]; then
        cat "$work/valkey/log" >&2
        exit 1
    fi
done

KEYSTILE_TEST_POSTGRES="postgres://postgres@127.0.0.1:$postgres_port/postgres?sslmode=disable"
KEYSTILE_TEST_VALKEY="redis://127.0.0.1:$valkey_port"
export KEYSTILE_TEST_POSTGRES KEYSTILE_TEST_VALKEY
echo "export KEYSTILE_TEST_POSTGRES=$KEYSTILE_TEST_POSTGRES"
echo "export KEYSTILE_TEST_VALKEY=$KEYSTILE_TEST_VALKEY"

# In the background and waited for, so that a signal reaches the trap at once.
# The shell makes background commands deaf to INT, so they are always sent TERM.
"$@" &
command_pid=$!
trap 'kill -TERM $command_pid 2>/dev/null; wait $command_pid || true; exit 130' INT
trap 'kill -TERM $command_pid 2>/dev/null; wait $command_pid || true; exit 143' TERM HUP
wait "$command_pid"
