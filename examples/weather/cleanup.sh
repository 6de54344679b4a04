# Takes away what the fetches kept beside the run, whether the run succeeded or not.
set -eu

kept="$(dirname "$(mktemp -u)")/headway-weather-$HEADWAY_RUN"
rm -rf "$kept"
echo "removed what was half-fetched"
