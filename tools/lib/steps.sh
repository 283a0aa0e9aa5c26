# shellcheck shell=bash
# Steps of a long test: each is timed and counted, and a failing one does not keep the next from running.

steps=() passed=0 failed=0 skipped=0

# step NAME COMMAND...
step() {
    local name=$1 begun=$SECONDS code=0
    shift
    printf '\n== %s: %s\n' "$name" "$*"
    "$@" || code=$?
    if [[ $code == 0 ]]; then
        passed=$((passed + 1)) && steps+=("passed|$((SECONDS - begun))|$name")
    else
        failed=$((failed + 1)) && steps+=("FAILED|$((SECONDS - begun))|$name (exit $code)")
    fi
    return "$code"
}

# skip NAME WHY
skip() {
    printf '\nskipped: %s (%s)\n' "$1" "$2"
    skipped=$((skipped + 1)) && steps+=("skipped|0|$1 ($2)")
}

# Prints what each step came to and ends the program.
finish() {
    local line result seconds name
    printf '\n'
    for line in "${steps[@]}"; do
        IFS='|' read -r result seconds name <<<"$line"
        printf '%-8s %5d s  %s\n' "$result" "$seconds" "$name"
    done
    printf '%-8s %5d s\n\n%d passed, %d failed, %d skipped\n' total "$SECONDS" "$passed" "$failed" "$skipped"
    [[ $failed == 0 ]]
    exit
}
