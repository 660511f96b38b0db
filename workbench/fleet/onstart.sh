#!/bin/bash
# What a rented machine runs first, and again after every restart: a dead man's switch, Ollama on its own loopback,
# and the model. Running it twice changes nothing. What it says goes to /root/.thinker/log.
set -u
home=${THINKER_HOME:-/root/.thinker}
mkdir -p "$home" && cd "$home" || exit 1
exec >>"$home/log" 2>&1
: "${THINKER_MODEL:?}" "${THINKER_SILENCE_S:?}" "${THINKER_LIFETIME_S:?}" "${THINKER_MARKET:?}"

say() { echo "$(date -u +%FT%TZ) $*"; }

once() { # run a function in the background, unless one from an earlier run is still at it
  (
    exec 9>"$home/$1.lock"
    flock -n 9 || exit 0
    "$@"
  ) </dev/null &
}

up_s() { cut -d. -f1 /proc/uptime; }

destroy() { # with the key that can destroy this instance and nothing else
  until curl -fsS -m 30 -X DELETE -H "Authorization: Bearer ${CONTAINER_API_KEY:-}" -H 'Content-Type: application/json' \
    -d '{}' "$THINKER_MARKET/api/v0/instances/${CONTAINER_ID:-}/"; do
    say "cannot destroy myself, trying again"
    sleep "${THINKER_LOOK_S:-20}"
  done
}

dead_man() { # nobody has touched the heartbeat for too long, or the time is over
  [ -e born ] || up_s >born
  while sleep "${THINKER_LOOK_S:-20}"; do
    silent_s=$(($(date +%s) - $(stat -c %Y heartbeat)))
    age_s=$(($(up_s) - $(cat born)))
    [ "$age_s" -lt 0 ] && up_s >born # the host was restarted
    if [ "$silent_s" -gt "$THINKER_SILENCE_S" ] || [ "$age_s" -gt "$THINKER_LIFETIME_S" ]; then
      say "no heartbeat for $silent_s s, $age_s s old: destroying myself"
      destroy
      return
    fi
  done
}

serve() { # Ollama, started again whenever it ends
  command -v ollama >/dev/null || curl -fsSL https://ollama.com/install.sh | sh
  export OLLAMA_HOST=127.0.0.1:11434 OLLAMA_CONTEXT_LENGTH="${THINKER_CONTEXT:-32768}" OLLAMA_FLASH_ATTENTION=1
  export OLLAMA_KEEP_ALIVE=24h
  while :; do
    ollama serve
    say "ollama ended with $?"
    sleep 1
  done
}

pull() { # until it is there; a pull goes on where it broke off
  until OLLAMA_HOST=127.0.0.1:11434 ollama pull "$THINKER_MODEL" >/dev/null; do sleep 2; done
  say "$THINKER_MODEL is here"
}

touch heartbeat # a restart is as good as a beat
once dead_man
command -v curl >/dev/null || { apt-get update -qq && apt-get install -y -qq curl ca-certificates; }
once serve
once pull
say "started"
