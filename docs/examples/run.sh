#!/bin/sh
# Runs a shell script on a guest and prints what is known of it once it is over, with curl and JSON.
#
# usage: run.sh GUEST SCRIPT
# VOCABLE_URL (http://127.0.0.1:8700) and VOCABLE_TOKEN (of the file `token` in the state folder) say where and as whom.
set -eu
url=${VOCABLE_URL:-http://127.0.0.1:8700}

# The token goes in by a file descriptor, not by an argument that everybody on the machine can read.
call() {
    printf 'header = "Authorization: Bearer %s"\n' "$VOCABLE_TOKEN" |
        curl --silent --show-error --fail-with-body --config - \
            --header 'Content-Type: application/json' --data "$2" "$url/api/$1"
}

# A text as JSON.
quoted() { printf '"%s"' "$(printf %s "$1" | sed 's/\\/\\\\/g; s/"/\\"/g')"; }

guest=$(quoted "$1")
script=$(quoted "$2")
command=$(call cmd.run "{\"target\": $guest, \"cmd\": \"sh\", \"args\": [\"-c\", $script]}" |
    sed 's/.*"result":"\([^"]*\)".*/\1/')
while :; do
    # At the latest after 20 seconds; then we ask again.
    told=$(call cmd.wait "{\"cmd_id\": \"$command\", \"timeout_s\": 20}")
    case $told in
    *'"state":"queued"'* | *'"state":"running"'*) ;;
    *) break ;;
    esac
done
printf '%s\n' "$told"
