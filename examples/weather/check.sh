# Makes sure that the readings are there and are what the other steps take them for.
set -eu

expect() {  # file, first line, least number of rows
    file="$HEADWAY_CODE/data/$1"
    [ -s "$file" ] || { echo "$1 is missing or empty" >&2; exit 1; }
    header=$(head -n 1 "$file" | tr -d '\r')
    [ "$header" = "$2" ] || { echo "$1 begins with '$header', not with '$2'" >&2; exit 1; }
    count=$(($(grep -c '' "$file") - 1))
    [ "$count" -ge "$3" ] || { echo "$1 has $count rows, fewer than $3" >&2; exit 1; }
    echo "$1: $count rows"
    files=$((files + 1))
    rows=$((rows + count))
}

files=0
rows=0
expect seattle-temps.csv "date,temp" 8000
expect sf-temps.csv "temp,date" 8000
expect seattle-weather.csv "date,precipitation,temp_max,temp_min,wind,weather" 1000
printf 'files=%s\nrows=%s\n' "$files" "$rows" >>"$HEADWAY_OUTPUT"
