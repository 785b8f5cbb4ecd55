#!/bin/sh
# Builds the image and replaces the containers of the compose shop by new ones, replica by replica. MongoDB and NGINX go on.
#
#   deploy/rolling-update.sh [OPTION...]
#
# OPTIONs go to `docker compose` (--profile split). VERSION and REVISION are written into the image. Of each service one more
# replica is started; once it is healthy, one of the old ones is stopped, which answers what it has before it ends. At no
# time is more than one replica of a service on its way, and NGINX tries two. A replica that does not become healthy is
# removed, and the script ends with 1: the old replicas that are left go on.
#
# A shop of one process has one container, since there is one port: it is replaced, and answers nothing for some seconds.
set -eu

# How long a new replica may take until it is healthy. It waits for MongoDB, and applies the migrations of its module.
healthy_within_seconds=${HEALTHY_WITHIN_SECONDS:-180}
# NGINX asks for the addresses of a service again when its answer is a second old.
forgotten_after_seconds=2

compose() {
  docker compose "$@"
}

# $1: the service; the rest: options of `docker compose`, here and below. Containers that have ended are among them, since
# compose starts those again before it makes a new one.
replicas_of() {
  service=$1
  shift
  compose "$@" ps --all --quiet "$service"
}

is_healthy() {
  [ "$(docker inspect --format '{{.State.Health.Status}}' "$1")" = healthy ]
}

# Waits for the new one alone: `--wait` gives up where an old one is found unhealthy in passing.
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
# In either shape one service builds the image for all.
if echo "$running" | grep -qx trivet; then
  compose "$@" build trivet
else
  compose "$@" build auth
fi
# A service after those that it calls.
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
