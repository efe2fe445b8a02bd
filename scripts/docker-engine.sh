#!/usr/bin/env bash
# A current Docker engine for tests, on a Debian machine that has none.
#
# usage: scripts/docker-engine.sh install|start|stop|status|path|mirror
#
#   install  unpack engine, client, Compose and buildx from Debian's testing suite into a folder of its own
#   start    start that engine; does nothing when an engine already answers
#   stop     stop the engine that `start` started, known by its pid file, and no other
#   status   say what answers; exit 1 when nothing does
#   path     print the folder of the unpacked client, to put first on PATH
#   mirror   print the address of the Debian mirror this machine's apt uses
#
# Everything lives in $STACK_DOCKER_DIR (default: ${XDG_CACHE_HOME:-$HOME/.cache}/stack-docker); only the
# plugin links in ~/.docker/cli-plugins and the socket /var/run/docker.sock lie outside. Needs root.
set -euo pipefail
# shellcheck source=scripts/retry.sh
. "$(dirname "${BASH_SOURCE[0]}")/retry.sh"

readonly SUITE=forky # testing: Docker 28, Compose 2.40, linked against a C library as old as bookworm's
readonly PACKAGES=(docker.io docker-cli docker-compose docker-buildx containerd tini-static
  crane) # no engine needs it: tests read image layouts with it, and bookworm has none
readonly HOST_PACKAGES=(ca-certificates runc iptables iproute2) # tied to this kernel or C library
readonly RECIPE="$SUITE ${PACKAGES[*]}"
readonly SOCKET=/var/run/docker.sock
readonly START_TIMEOUT_S=60
readonly STOP_TIMEOUT_S=60

readonly DIR="${STACK_DOCKER_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/stack-docker}"
readonly ROOT="$DIR/root"
readonly PID_FILE="$DIR/dockerd.pid"
readonly LOG_FILE="$DIR/dockerd.log"
export PATH="$ROOT/usr/bin:$ROOT/usr/sbin:$PATH"

say() { printf 'docker-engine: %s\n' "$*" >&2; }

die() {
  say "$1"
  say "next step: $2"
  exit 1
}

require_root() {
  [ "$(id -u)" -eq 0 ] || die "$1 needs root, running as $(id -un)" "run it with sudo"
}

known_mirror() {
  local codename
  # shellcheck source=/dev/null
  codename="$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")"
  # shellcheck disable=SC2016 # apt expands the format
  apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $codename" | sed -n '1s#/\{0,1\}$##p'
}

update_lists() { retry apt-get -qq -o Acquire::Retries=3 -o DPkg::Lock::Timeout=120 update >/dev/null; }

# The mirror is asked of apt, so a company's own mirror is used wherever one is configured. apt knows it only
# once the package lists are there, and a container image usually comes without them.
mirror() {
  local uri
  uri="$(known_mirror)"
  if [ -z "$uri" ]; then
    update_lists
    uri="$(known_mirror)"
  fi
  [ -n "$uri" ] || die "apt names no mirror for this machine's Debian release" "check the files in /etc/apt/sources.list.d"
  printf '%s\n' "$uri"
}

# apt with a state of its own that knows only the testing suite: the machine's package lists stay as they are.
suite_apt() {
  apt-get -qq -o Dir::Etc::sourcelist="$DIR/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
    -o Dir::State::lists="$DIR/apt/lists" -o Dir::Cache="$DIR/apt/cache" \
    -o Acquire::Retries=3 -o APT::Sandbox::User=root "$@"
}

install_host_packages() {
  local missing=() package
  for package in "${HOST_PACKAGES[@]}"; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  say "apt installs ${missing[*]}"
  update_lists
  DEBIAN_FRONTEND=noninteractive retry apt-get -qq -o Acquire::Retries=3 -o DPkg::Lock::Timeout=120 \
    install -y --no-install-recommends "${missing[@]}" >/dev/null
}

unpack_engine() {
  [ "$(cat "$ROOT/.recipe" 2>/dev/null)" = "$RECIPE" ] && return
  own_pid >/dev/null && die "the engine to be replaced runs" "run $0 stop"
  local keyring=/usr/share/keyrings/debian-archive-keyring.gpg archive
  rm -rf "$ROOT" "$DIR/apt"
  mkdir -p "$ROOT" "$DIR/apt/lists/partial" "$DIR/apt/cache/archives/partial" "$DIR/apt/debs"
  printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$(mirror)" "$SUITE" >"$DIR/apt/sources.list"
  retry suite_apt update
  (cd "$DIR/apt/debs" && retry suite_apt download "${PACKAGES[@]}")
  for archive in "$DIR"/apt/debs/*.deb; do
    dpkg-deb -x "$archive" "$ROOT"
  done
  rm -rf "$DIR/apt"
  printf '%s\n' "$RECIPE" >"$ROOT/.recipe"
}

# A plugin that is already there stays, whoever put it there; a link that points nowhere is replaced.
link_plugins() {
  local plugin target folder="$HOME/.docker/cli-plugins"
  mkdir -p "$folder"
  for plugin in "$ROOT"/usr/libexec/docker/cli-plugins/docker-*; do
    target="$folder/${plugin##*/}"
    [ -e "$target" ] || ln -sfn "$plugin" "$target"
  done
}

install_engine() {
  grep -qx 'ID=debian' /etc/os-release || die "this machine does not run Debian" "install Docker Engine as your system's maker says"
  mkdir -p "$DIR"
  install_host_packages
  unpack_engine
  link_plugins
  say "installed: $(docker --version); $(docker compose version)"
}

engine_answers() { timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# Prints the pid of the engine `start` started, or fails: a pid file may outlive its process.
own_pid() {
  local pid
  pid="$(cat "$PID_FILE" 2>/dev/null)" || return 1
  [ "$(readlink "/proc/$pid/exe" 2>/dev/null)" = "$ROOT/usr/sbin/dockerd" ] || return 1
  printf '%s\n' "$pid"
}

start_engine() {
  if engine_answers; then
    say "an engine already answers: nothing to start"
    return
  fi
  install_engine
  own_pid >/dev/null || rm -f "$PID_FILE"
  # The lock (descriptor 9) must not outlive this script in the daemon.
  setsid dockerd --data-root "$DIR/data" --exec-root "$DIR/exec" --pidfile "$PID_FILE" \
    -H "unix://$SOCKET" >"$LOG_FILE" 2>&1 </dev/null 9>&- &
  local deadline=$((SECONDS + START_TIMEOUT_S))
  until engine_answers; do
    if [ "$SECONDS" -ge "$deadline" ] || ! kill -0 $! 2>/dev/null; then
      tail -n 15 "$LOG_FILE" >&2
      die "dockerd did not answer on $SOCKET within ${START_TIMEOUT_S} s" "read $LOG_FILE"
    fi
    sleep 0.2
  done
  say "started: engine $(docker version --format '{{.Server.Version}}') on $SOCKET"
}

stop_engine() {
  local pid deadline=$((SECONDS + STOP_TIMEOUT_S))
  if ! pid="$(own_pid)"; then
    say "no engine of this script runs"
    return
  fi
  kill "$pid"
  while own_pid >/dev/null; do
    [ "$SECONDS" -lt "$deadline" ] || die "dockerd (pid $pid) still runs after ${STOP_TIMEOUT_S} s" "read $LOG_FILE"
    sleep 0.2
  done
  say "stopped"
}

show_status() {
  engine_answers || die "no engine answers" "run $0 start"
  local owner="not started by this script"
  if own_pid >/dev/null; then owner="pid $(own_pid), files in $DIR"; fi
  docker version --format 'engine {{.Server.Version}}, client {{.Client.Version}}'
  docker info --format 'storage {{.Driver}}, cgroup v{{.CgroupVersion}}'
  docker compose version
  printf '%s\n' "$owner"
}

locked() {
  require_root "${1%_engine}"
  mkdir -p "$DIR"
  exec 9>"$DIR/lock"
  flock 9
  "$@"
}

case "${1:-}" in
  install) locked install_engine ;;
  start) locked start_engine ;;
  stop) locked stop_engine ;;
  status) show_status ;;
  path) printf '%s\n' "$ROOT/usr/bin" ;;
  mirror) mirror ;;
  *) sed -n '/^# usage/,/^# Every/{/^# Every/!s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
esac
