# Brings one file in, as over a line that may drop. What has arrived is kept beside the run, so that
# the next attempt goes on where this one stopped.
set -eu

name=$1
source="$HEADWAY_CODE/data/$name"
kept="$(dirname "$(mktemp -u)")/headway-weather-$HEADWAY_RUN"
mkdir -p -m 700 "$kept"
part="$kept/$name"
touch "$part"

total=$(($(wc -c <"$source")))
have=$(($(wc -c <"$part")))
want=$total
if [ "${DROPS_ON_ATTEMPT:-none}" = "$HEADWAY_ATTEMPT" ]; then
    want=$((total / 2))
fi
echo "$name: bytes $have to $want of $total"
tail -c "+$((have + 1))" "$source" | head -c "$((want - have))" >>"$part"

have=$(($(wc -c <"$part")))
if [ "$have" -ne "$total" ]; then
    echo "the line dropped after $have of $total bytes" >&2
    exit 75
fi
mv "$part" "$HEADWAY_WORKDIR/$name"
echo "bytes=$total" >>"$HEADWAY_OUTPUT"
