# shellcheck shell=bash
# Sourced by what downloads: package archives fail now and then for a minute.

# retry COMMAND...: three attempts, then the truth.
retry() {
  local attempt
  for attempt in 1 2 3; do
    "$@" && return
    printf '%s: attempt %d of 3 failed: %s\n' "$(basename "$0" .sh)" "$attempt" "$*" >&2
    [ "$attempt" = 3 ] || sleep $((attempt * 5))
  done
  return 1
}
