# shellcheck shell=bash
# One run of the full-Jepsen tier, and what is known of it afterwards.
# Needs: reports.sh.

readonly jepsen_store=jepsen/gossip-rs/store

# What no node may ever log, a text a line. gossip-rs.checker.nodes reads the same file.
readonly bad_log_lines=jepsen/gossip-rs/resources/bad-log-lines.txt

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

# The folder of the newest run since then that left no judgement.
unjudged_since() {
    find "$jepsen_store" -mindepth 2 -maxdepth 2 -type d -newer "$1" -printf '%T@ %p\n' 2>/dev/null | sort -rn | cut -d' ' -f2- |
        while read -r folder; do [[ -e $folder/results.edn ]] || { echo "$folder" && break; }; done
}

# jepsen_run LOG OPTIONS...: sets
#   run_verdict   valid, INVALID, unknown
#   run_folder    the run's folder, copied to LOG without its .log; empty when the run left none
#   run_judged    yes, or no: nothing was, and nothing that it left accuses the service
#   run_code      what Jepsen exited with
#   run_note      why the run says nothing, or that it was repeated
# A run that came to no judgement is tried once more if what it left does not accuse the service; log and folder of the first try
# are kept as `.first`. A judged one is never repeated: a pass at the second try would not undo the first. Nor does one undo a
# stored history of which nobody knows what it shows, or nodes that did not serve in time when nothing was done to them.
jepsen_run() {
    local log=$1 first
    shift
    jepsen_try "$log" "$@"
    [[ $run_code == 255 && $run_judged == no ]] || return 0
    first=$evidence
    mv "$log" "$log.first"
    rm -rf "${log%.log}.first"
    [[ -z $run_folder ]] || mv "$run_folder" "${log%.log}.first"
    jepsen_try "$log" "$@"
    [[ $first == valid ]] || run_note="what it left does not clear the service${run_note:+; $run_note}"
    run_note="harness trouble at the first try${run_note:+; $run_note}"
    run_verdict=$(worse "$first" "$run_verdict")
}

# evidence_in FOLDER: what a run that Jepsen did not judge shows all the same, since a service that dies as it starts, or logs that
# it panicked, ends the run before the judgement. Prints INVALID if it accuses the service, unknown if it could not be looked at, else
# valid. Leaves FOLDER/report.txt, in the form of a report.
evidence_in() {
    local folder=$1 verdict=valid code=0 said='' bad trouble
    if [[ -e $folder/history.edn ]]; then
        said=$(target/release/gossip-verify check --gossip-bound "$(gossip_bound)" "$folder/history.edn" 2>&1) || code=$?
        verdict=$(verdict_of_code "$code")
    elif grep -q ':invoke' "$folder/jepsen.log" 2>/dev/null; then
        # It was under load, and what it recorded is nowhere that anybody could read.
        verdict=unknown
    fi
    # Without an empty line, which every log would match.
    bad=$(grep . "$bad_log_lines") || verdict=$(worse "$verdict" unknown)
    trouble=$(trouble_of_nodes "$folder" "$bad")
    if [[ -n $trouble ]]; then
        verdict=INVALID
        said+=$'\n'"Trouble of the nodes:"$'\n'"$trouble"
    fi
    printf '%s\n' "$said" >"$folder/report.txt"
    echo "$verdict"
}

# trouble_of_nodes FOLDER TEXTS: a line for each node that ended by itself, and for the first lines of each log that hold one of the texts.
trouble_of_nodes() {
    sed 's/^/  ended by itself: /' "$1/deaths.edn" 2>/dev/null
    [[ -z $2 ]] || find "$1" -mindepth 2 -maxdepth 2 -name gossip-worker.log -printf '%P\n' | sort | while read -r log; do
        grep -aF -m 5 -e "$2" -- "$1/$log" | sed "s,^,  $log: ,"
    done
}

# The bound of G2 in seconds, from the judge that was not reached. Where it is not to be found, the other one refuses to judge.
gossip_bound() {
    sed -nE '/^\(def bound-ns/,/\)$/s/^ *([0-9]+)0{9}\)$/\1/p' jepsen/gossip-rs/src/gossip_rs/invariants/g2.clj
}

# time_limit_in OPTIONS...: the seconds of load that they ask for.
time_limit_in() {
    while [[ $# -gt 1 && $1 != --time-limit ]]; do shift; done
    [[ $# -gt 1 ]] || { echo 'jepsen_run: no --time-limit' >&2; return 1; }
    printf '%s' "$2"
}

jepsen_try() {
    local log=$1 marker limit within judged left
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
    judged=$(judged_since "$marker")
    left=${judged:-$(unjudged_since "$marker")}
    rm -f "$marker"
    keep_run "$left" "${log%.log}"
    if [[ -n $judged ]]; then
        run_judged=yes run_note=
        run_verdict=$(worse "$(verdict_in "$judged")" "$(verdict_of_code "$run_code")")
        case $run_code in
            0 | 1 | 2) ;;
            *) run_note="Jepsen exited with $run_code after the judgement" ;;
        esac
        return
    fi
    # lein too ends with 1, when it cannot start Jepsen: an exit code alone does not accuse the system.
    [[ $run_code == 254 ]] || run_code=255
    run_judged=no run_verdict=unknown run_note="no judgement, exit $run_code: $(tail -n 1 "$log" | cut -c1-160)"
    evidence=valid
    [[ -z $run_folder ]] || evidence=$(evidence_in "$run_folder")
    # At its first start no fault was made: a slow machine, or a service that comes to nothing.
    ! grep -qE 'do(es)? not serve within' "$log" || evidence=$(worse "$evidence" unknown)
    [[ $evidence != INVALID ]] || run_judged=yes run_verdict=INVALID
}

# keep_run FOLDER COPY: sets run_folder to the copy, or to the folder itself where it cannot be copied.
keep_run() {
    run_folder=$1
    rm -rf "$2"
    [[ -z $1 ]] || { cp -r "$1" "$2" && run_folder=$2; }
}
