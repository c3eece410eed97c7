# Removes network namespaces, with all that runs in them, and folders. Reads a line for each: `space NAME`, `folder
# PATH`. What is gone already is passed over.
exec 2>/dev/null
spaces='' folders=''
while read -r kind name; do
    case $kind in
    space) spaces="$spaces $name" ;;
    folder) folders="$folders $name" ;;
    esac
done
kill_all() {
    for pid in $(ip netns pids "$1"); do
        kill -KILL "$pid"
    done
}
# Without its cable a program that waits for the other end waits for ever, so programs go first.
for space in $spaces; do
    kill_all "$space"
done
for space in $spaces; do
    # A cable goes with one of its ends, at once; a namespace when the kernel has the time.
    ip -n "$space" -o link show type veth | sed 's/^[0-9]*: \([^:@]*\).*/\1/' | while read -r cable; do
        ip -n "$space" link del "$cable"
    done
    # A program that was being started has entered the namespace since.
    kill_all "$space"
    ip netns del "$space"
done
for folder in $folders; do
    rm -rf "$folder"
done
exit 0
