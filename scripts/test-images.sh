#!/usr/bin/env bash
# The images the Docker tests run, built from Debian packages: no container registry is asked.
#
# usage: scripts/test-images.sh build|names
#
#   build  make each image the engine does not have yet
#   names  print the variables that tests read, one NAME=image a line
#
# stack-test/python:3.11       stands for python:3.11-slim: `python`, `pip`, venv
# stack-test/build:3.11        the same with a C++ compiler and cmake, for packages that ship no wheel
# stack-test/llama-server:test stands for ghcr.io/ggml-org/llama.cpp:server: upstream's llama-server
# stack-test/caddy:test        stands for caddy: busybox as its shell, caddy with the right to low ports, its folders
# stack-test/newer-pythons     the Pythons after 3.11 that Debian brings, for scripts/test_python.py
#
# File systems are kept as tar files in $STACK_DOCKER_DIR/images (default folder: see docker-engine.sh), so an
# engine that lost its images gets them back in seconds. Needs root (debootstrap) and an engine that answers.
set -euo pipefail

readonly STACK_TEST_BASE_IMAGE=stack-test/python:3.11
readonly STACK_TEST_BUILD_IMAGE=stack-test/build:3.11
readonly STACK_TEST_LLAMA_IMAGE=stack-test/llama-server:test
readonly STACK_TEST_CADDY_IMAGE=stack-test/caddy:test
readonly STACK_TEST_PYTHONS_IMAGE=stack-test/newer-pythons:test

readonly IMAGES=("$STACK_TEST_BASE_IMAGE" "$STACK_TEST_BUILD_IMAGE" "$STACK_TEST_LLAMA_IMAGE" "$STACK_TEST_CADDY_IMAGE"
  "$STACK_TEST_PYTHONS_IMAGE")

readonly PYTHON_SUITE=bookworm # its python3 is 3.11
readonly LLAMA_SUITE=forky     # the first suite with a llama.cpp package; its caddy is the newest
readonly PYTHON_PACKAGES=ca-certificates,python3,python3-venv,python3-pip,python-is-python3,libgomp1,curl
readonly BUILD_PACKAGES=(gcc g++ make cmake git python3-dev)
readonly OLDER_SUITE=trixie # keeps 3.13 when LLAMA_SUITE drops it; no suite has 3.12
readonly PYTHONS_PACKAGES=(python3.13-venv python3.14-venv)
readonly CADDY_PACKAGES=(caddy busybox-static libcap2-bin)

HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
readonly HERE
# shellcheck source=scripts/retry.sh
. "$HERE/retry.sh"
readonly DIR="${STACK_DOCKER_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/stack-docker}/images"

PATH="$("$HERE/docker-engine.sh" path):$PATH"
export PATH

say() { printf 'test-images: %s\n' "$*" >&2; }

in_root() { DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 chroot "$@"; }

# bootstrap ROOT SUITE PACKAGES: a minimal Debian; a broken attempt leaves nothing for the next one to trip on.
# The script `sid` is named because an older debootstrap has none for suites younger than itself.
bootstrap() {
  rm -rf --one-file-system "$1"
  debootstrap --variant=minbase --include="$3" "$2" "$1" "$(mirror)" sid
}

# The machine's own download settings (proxy, how old a mirror may be) hold inside too, for this step only.
add_packages() {
  local root="$1" settings="$1/etc/apt/apt.conf.d/99machine"
  shift
  apt-config dump Acquire >"$settings"
  retry in_root "$root" apt-get -qq -o Acquire::Retries=3 update
  retry in_root "$root" apt-get -qq -o Acquire::Retries=3 install -y --no-install-recommends "$@"
  rm "$settings"
}

mirror() { "$HERE/docker-engine.sh" mirror; }

# pack ROOT TAR: without what apt keeps.
pack() {
  in_root "$1" apt-get clean
  rm -rf "$1"/var/lib/apt/lists/* "$1"/var/log/*.log "$1"/var/log/apt
  write_tar "$1" "$2"
}

# write_tar ROOT TAR: written beside and renamed, so that a tar file that exists is whole; with the rights of its programs.
write_tar() {
  tar --one-file-system --xattrs --xattrs-include='security.capability' -C "$1" -cf "$2.part" .
  mv "$2.part" "$2"
}

# The marker goes because the official image has none either: there, pip installs outside a venv.
make_python() {
  local root="$WORK/python"
  retry bootstrap "$root" "$PYTHON_SUITE" "$PYTHON_PACKAGES"
  rm -f "$root"/usr/lib/python3*/EXTERNALLY-MANAGED
  pack "$root" "$DIR/python.tar"
  add_packages "$root" "${BUILD_PACKAGES[@]}"
  pack "$root" "$DIR/build.tar"
}

make_llama() {
  local root="$WORK/llama"
  retry bootstrap "$root" "$LLAMA_SUITE" ca-certificates,curl,libgomp1
  add_packages "$root" llama.cpp
  mkdir -p "$root/app" "$root/models"
  ln -s /usr/bin/llama-server "$root/app/llama-server"
  pack "$root" "$DIR/llama.tar"
  printf 'deb %s %s main\n' "$(mirror)" "$OLDER_SUITE" >"$root/etc/apt/sources.list.d/older.list"
  add_packages "$root" "${PYTHONS_PACKAGES[@]}"
  pack "$root" "$DIR/pythons.tar"
  add_packages "$root" "${CADDY_PACKAGES[@]}"
  make_caddy "$root" "$root/caddy"
  write_tar "$root/caddy" "$DIR/caddy.tar"
}

# make_caddy FROM ROOT: Alpine's way, with Debian's programs; the official image is that, too, and has no other shell.
make_caddy() {
  local from="$1" root="$2" library
  mkdir -p "$root"/{bin,srv,tmp,usr/{bin,share/caddy},etc/{caddy,ssl/certs},config/caddy,data/caddy}
  chmod 1777 "$root"/{tmp,config/caddy,data/caddy}
  cp "$from/usr/bin/busybox" "$root/bin/busybox"
  in_root "$root" /bin/busybox --install -s /bin
  cp "$from/usr/bin/caddy" "$root/usr/bin/caddy"
  cp "$from/etc/ssl/certs/ca-certificates.crt" "$root/etc/ssl/certs/"
  in_root "$from" ldd /usr/bin/caddy | grep -o '/[^ ]*' | while read -r library; do
    mkdir -p "$root/${library%/*}"
    cp "$from/$library" "$root/$library"
  done
  in_root "$from" setcap cap_net_bind_service=+ep "${root#"$from"}/usr/bin/caddy"
}

# The file systems are built in memory where there is plenty: dpkg syncs every file, which a disk makes slow
# (one Debian with Python: 54 s in memory, 96 s on disk, on 2 busy cores). They fill 1.1 GB.
open_work_folder() {
  WORK="$(mktemp -d "$DIR/work.XXXXXX")"
  trap close_work_folder EXIT
  if [ "$(awk '/^MemAvailable:/ {print $2}' /proc/meminfo)" -ge $((4 << 20)) ]; then
    mount -t tmpfs -o size=3g tmpfs "$WORK"
  fi
}

# After an interruption jobs still run in the folder: they end first, whole process groups.
close_work_folder() {
  local job
  for job in $(jobs -pr); do kill -- "-$job"; done
  wait
  if mountpoint -q "$WORK"; then umount --recursive --lazy "$WORK"; fi
  rm -rf --one-file-system "$WORK"
}

# make_file_systems JOB...: all at once, each with a log of its own that is shown when it fails.
make_file_systems() {
  local job status=0
  local -A pids=()
  set -m # a process group each, so that an interruption can end a job with all it started
  for job in "$@"; do
    ("$job") >"$DIR/$job.log" 2>&1 &
    pids[$job]=$!
  done
  set +m
  for job in "$@"; do
    wait "${pids[$job]}" && continue
    status=1
    tail -n 15 "$DIR/$job.log" >&2
    say "$job failed; next step: read $DIR/$job.log"
  done
  return "$status"
}

has_image() { docker image inspect "$1" >/dev/null 2>&1; }

# import_image TAR IMAGE INSTRUCTION...
import_image() {
  local file="$DIR/$1" image="$2" instruction changes=()
  shift 2
  for instruction in "$@"; do changes+=(--change "$instruction"); done
  has_image "$image" || docker import "${changes[@]}" "$file" "$image" >/dev/null
}

import_images() {
  local utf8='ENV LANG=C.UTF-8'
  import_image python.tar "$STACK_TEST_BASE_IMAGE" "$utf8" 'CMD ["python3"]'
  import_image build.tar "$STACK_TEST_BUILD_IMAGE" "$utf8" 'CMD ["python3"]'
  # Entry point, folder, address and health check as in the official image.
  import_image llama.tar "$STACK_TEST_LLAMA_IMAGE" "$utf8" 'WORKDIR /app' 'ENV LLAMA_ARG_HOST=0.0.0.0' \
    'HEALTHCHECK CMD ["curl", "-f", "http://localhost:8080/health"]' 'ENTRYPOINT ["/app/llama-server"]'
  # As in the official image: no entry point, root, and these folders.
  import_image caddy.tar "$STACK_TEST_CADDY_IMAGE" 'ENV XDG_CONFIG_HOME=/config XDG_DATA_HOME=/data' 'WORKDIR /srv' \
    'EXPOSE 80 443 443/udp 2019' 'CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]'
  import_image pythons.tar "$STACK_TEST_PYTHONS_IMAGE" "$utf8" 'CMD ["python3.13"]'
}

require_root_and_engine() {
  if [ "$(id -u)" -ne 0 ]; then
    say "debootstrap needs root, running as $(id -un); next step: run it with sudo"
    exit 1
  fi
  "$HERE/docker-engine.sh" status >/dev/null
}

build() {
  require_root_and_engine
  mkdir -p "$DIR"
  exec 9>"$DIR/lock" # whoever comes second finds all there
  flock 9
  local image missing=no
  for image in "${IMAGES[@]}"; do has_image "$image" || missing=yes; done
  if [ "$missing" = no ]; then
    say "all there"
    return
  fi
  local jobs=()
  [ -e "$DIR/build.tar" ] && [ -e "$DIR/python.tar" ] || jobs+=(make_python)
  [ -e "$DIR/llama.tar" ] && [ -e "$DIR/pythons.tar" ] && [ -e "$DIR/caddy.tar" ] || jobs+=(make_llama)
  if [ ${#jobs[@]} -gt 0 ]; then
    open_work_folder
    make_file_systems "${jobs[@]}"
  fi
  import_images
  say "built ${IMAGES[*]}"
}

names() {
  printf '%s=%s\n' STACK_TEST_BASE_IMAGE "$STACK_TEST_BASE_IMAGE" \
    STACK_TEST_BUILD_IMAGE "$STACK_TEST_BUILD_IMAGE" STACK_TEST_LLAMA_IMAGE "$STACK_TEST_LLAMA_IMAGE" \
    STACK_TEST_CADDY_IMAGE "$STACK_TEST_CADDY_IMAGE" STACK_TEST_PYTHONS_IMAGE "$STACK_TEST_PYTHONS_IMAGE"
}

case "${1:-}" in
  build) build ;;
  names) names ;;
  *) sed -n '/^# usage/,/^# File/{/^# File/!s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
esac
