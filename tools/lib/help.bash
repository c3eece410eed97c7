# What the scripts of tools/ have in common: each sources this with its arguments, before it does anything.
#
# The comment at the top of a script is its help. No option but -h and --help is known here.

print_help() {
    sed -n '2,/^[^#]/s/^# \?//p' "$0"
}

fail_usage() {
    local name
    name="tools/$(basename "$0")"
    echo "$name: $*; see $name --help" >&2
    exit 2
}

for word in "$@"; do
    case "$word" in
    -h | --help) print_help && exit ;;
    -*) fail_usage "there is no option $word" ;;
    esac
done
unset word
