# Works for TICKS times EACH seconds, and writes what it does to $EFFECTS. To be sourced by a step.
# FAILS: how many first attempts fail.
say() {
    read -r now _ < /proc/uptime
    printf '%s %s %s %s %s %s %s\n' "$HEADWAY_RUN" "$HEADWAY_STEP" "$HEADWAY_ATTEMPT" "$1" "$now" \
        "$$" "$HEADWAY_WORKDIR" >> "$EFFECTS"
}
say start
while [ "${TICKS:-1}" -gt 0 ]; do
    sleep "${EACH:-0.1}"
    TICKS=$((${TICKS:-1} - 1))
    [ "$TICKS" -gt 0 ] && say tick
done
if [ "$HEADWAY_ATTEMPT" -le "${FAILS:-0}" ]; then
    say fail
    exit 1
fi
echo "attempt=$HEADWAY_ATTEMPT" >> "$HEADWAY_OUTPUT"
say end
