#!/bin/sh
# Builds the image and replaces the containers of the compose shop, replica by replica. MongoDB and NGINX keep
# running.
#
#   deploy/rolling-update.sh [OPTION...]
#
# OPTIONs are passed to `docker compose` (--profile split). VERSION and REVISION become labels of the image. For
# each service the script starts one more replica. When that replica is healthy, the script stops an old one,
# which answers its requests in flight before it ends. At most one replica of a service is unavailable at a time,
# and NGINX tries two. A replica that does not become healthy is removed, and the script ends with 1. The
# remaining old replicas keep running.
#
# A shop of one process has one container, because it has one port. This container is replaced, and nothing
# answers for some seconds.
set -eu

# The seconds until a new replica must be healthy. It waits for MongoDB and applies the migrations of its module.
healthy_within_seconds=${HEALTHY_WITHIN_SECONDS:-180}
# NGINX resolves a service again when its last answer is a second old.
forgotten_after_seconds=2

compose() {
  docker compose "$@"
}

# $1 is the service; the rest are options of `docker compose`, here and below. The result includes stopped
# containers, because compose restarts those before it creates a new one.
replicas_of() {
  service=$1
  shift
  compose "$@" ps --all --quiet "$service"
}

is_healthy() {
  [ "$(docker inspect --format '{{.State.Health.Status}}' "$1")" = healthy ]
}

# Waits for the new container only: `--wait` fails when an old one is unhealthy for a moment.
start_one_more() {
  service=$1
  shift
  old=$(replicas_of "$service" "$@")
  count=$(($(echo "$old" | wc -l) + 1))
  compose "$@" up --detach --no-build --no-deps --no-recreate --scale "$service=$count" "$service"
  new=$(replicas_of "$service" "$@" | grep -vxF "$old") || {
    echo "compose has started no new replica of $service" >&2
    return 1
  }
  deadline=$(($(date +%s) + healthy_within_seconds))
  until is_healthy "$new"; do
    if [ "$(date +%s)" -ge "$deadline" ]; then
      docker logs --tail 20 "$new" >&2
      docker rm --force "$new" > /dev/null
      echo "the new replica of $service was not healthy within $healthy_within_seconds s, and is removed: its log is above" >&2
      return 1
    fi
    sleep 1
  done
}

replace_each() {
  service=$1
  shift
  for replica in $(replicas_of "$service" "$@"); do
    start_one_more "$service" "$@"
    docker stop "$replica" > /dev/null
    docker rm "$replica" > /dev/null
    sleep "$forgotten_after_seconds"
  done
}

running=$(compose "$@" ps --services --status running)
if ! echo "$running" | grep -qxE 'trivet|auth|product|order'; then
  echo 'no service of the shop runs, so that there is nothing to replace: start it with docker compose up, or name its profile (--profile split)' >&2
  exit 1
fi
# Both shapes use the same image. The service that runs decides which build definition is used.
if echo "$running" | grep -qx trivet; then
  compose "$@" build trivet
else
  compose "$@" build auth
fi
# Each service comes after the services that it calls.
for service in auth product order; do
  if echo "$running" | grep -qx "$service"; then
    echo "replacing the replicas of $service"
    replace_each "$service" "$@"
  fi
done
if echo "$running" | grep -qx trivet; then
  echo 'replacing trivet'
  compose "$@" up --detach --no-build --no-deps --wait --wait-timeout "$healthy_within_seconds" trivet
fi
