# One line a month, for people.
set -eu

{
    echo "Best-selling articles"
    tail -n +2 {{upstream["best"]}} | awk -F, '{ gsub(/"/, ""); printf "%s  %-8s %6d\n", $1, $2, $3 }'
} > {{product}}
