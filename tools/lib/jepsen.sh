# shellcheck shell=bash
# One run of the full-Jepsen tier, and what is known of it afterwards.
# Needs: reports.sh.

readonly jepsen_store=jepsen/gossip-rs/store

# Seconds that a run may take beside its load: setup, healing, final reads and the judgement. Far more than any needs.
readonly jepsen_margin=${JEPSEN_MARGIN:-900}

# What ends by itself on the way is given this long before it is cut from outside.
readonly jepsen_grace=${JEPSEN_GRACE:-60}

# The folder of the newest run that was judged after the marker file was made. `latest` does not serve: a run that crashed
# leaves it pointing to the one before.
judged_since() {
    find "$jepsen_store" -mindepth 3 -maxdepth 3 -name results.edn -newer "$1" -printf '%T@ %h\n' 2>/dev/null |
        sort -n | tail -n 1 | cut -d' ' -f2-
}

# jepsen_run LOG OPTIONS...: sets
#   run_verdict   valid, INVALID, unknown
#   run_folder    in Jepsen's store; empty when no history was judged
#   run_code      what Jepsen exited with
#   run_note      why the run says nothing, or that it was repeated
# A run that came to no judgement is harness trouble, and is tried once more. A judged one is never repeated: a
# pass at the second try would not undo the first.
jepsen_run() {
    local log=$1
    shift
    run_note=
    jepsen_try "$log" "$@"
    [[ $run_code == 255 && -z $run_folder ]] || return 0
    mv "$log" "$log.first"
    jepsen_try "$log" "$@"
    run_note="harness trouble at the first try${run_note:+; $run_note}"
}

# time_limit_in OPTIONS...: the seconds of load that they ask for.
time_limit_in() {
    while [[ $# -gt 1 && $1 != --time-limit ]]; do shift; done
    [[ $# -gt 1 ]] || { echo 'jepsen_run: no --time-limit' >&2; return 1; }
    printf '%s' "$2"
}

jepsen_try() {
    local log=$1 marker limit within
    shift
    limit=$(time_limit_in "$@") || exit 255
    within=$((limit + jepsen_margin))
    marker=$(mktemp) || exit 255
    # bin/run ends what runs in the container, which a signal to it would not; the outer bound is for bin/run itself.
    # In the foreground, so that an interrupt at the terminal still reaches it.
    JEPSEN_WITHIN=$within timeout --foreground --kill-after="$jepsen_grace" $((within + jepsen_grace)) \
        jepsen/gossip-rs/bin/run test "$@" >"$log" 2>&1 </dev/null
    run_code=$?
    # 137: it did not heed the first signal.
    case $run_code in 124 | 137) run_code=255 && echo "cut off: it did not end within $within s" >>"$log" ;; esac
    run_folder=$(judged_since "$marker")
    rm -f "$marker"
    run_note=
    if [[ -z $run_folder ]]; then
        # lein too ends with 1, when it cannot start Jepsen: only judged histories accuse the system.
        [[ $run_code == 254 ]] || run_code=255
        run_verdict=unknown run_note="no judgement, exit $run_code: $(tail -n 1 "$log" | cut -c1-160)"
        return
    fi
    run_verdict=$(worse "$(verdict_in "$run_folder")" "$(verdict_of_code "$run_code")")
    case $run_code in
        0 | 1 | 2) ;;
        *) run_note="Jepsen exited with $run_code after the judgement" ;;
    esac
}
