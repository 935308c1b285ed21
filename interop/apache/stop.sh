#!/bin/bash
# stop.sh [--now] DATA_DIR
# Ends exactly the processes listed in DATA_DIR/pids, the broker first: gently (which takes Apache 4-20 s) and after 40 s with
# force; with --now, with force at once.
set -u
gently=400
[ "${1:-}" = --now ] && { gently=0; shift; }
[ $# -eq 1 ] && [ -f "$1/pids" ] || { sed -n 2,4p "$0" >&2; exit 2; }
for name in broker namesrv; do
  pid=$(awk -v n="$name" '$1 == n {print $2}' "$1/pids")
  [ -n "$pid" ] || continue
  # a recycled id must not be hit: the command line has to name this data directory
  tr '\0' ' ' < "/proc/$pid/cmdline" 2>/dev/null | grep -qF "$(cd "$1" && pwd)/" || continue
  if [ "$gently" -gt 0 ]; then
    kill "$pid" 2>/dev/null
    for _ in $(seq "$gently"); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    kill -0 "$pid" 2>/dev/null && echo "$name $pid did not end in 40 s: killed" >&2
  fi
  kill -9 "$pid" 2>/dev/null
  # Its files are locked until the last of its threads has ended.
  for _ in $(seq 300); do
    case "$(awk '{print $3}' "/proc/$pid/task/"*/stat 2>/dev/null | sort -u | tr -d '\n')" in '' | Z) break ;; esac
    sleep 0.1
  done
done
: > "$1/pids"
