# shellcheck shell=bash
# The tiers of nightly that need more than cargo: Maelstrom, and docker for Jepsen. Each is a function that adds its rows.
# Needs: reports.sh, rows.sh, catalogue.sh, environment.sh, jepsen.sh, tiers/core.sh; the variables of tools/nightly.

tier_maelstrom() {
    local code name nodes seconds operations nemesis result verdict listed missing
    MAELSTROM_STORE="$PWD/$out/maelstrom" tools/maelstrom 2>&1 | tee "$out/maelstrom.log"
    code=${PIPESTATUS[0]}
    if [[ $code == 3 ]]; then
        skip_tier maelstrom 'no maelstrom on PATH or in MAELSTROM'
        return
    fi
    listed=$(sed -nE 's/^(failed|unknown|without a report): //p' "$out/maelstrom.log" | tr ' ' '\n')
    while IFS=$'\t' read -r name nodes seconds operations nemesis result; do
        case $result in
            # A report that passes is not enough where the program says that the fault from outside never came.
            PASS) if grep -qxF -- "$name" <<<"$listed"; then verdict=unknown; else verdict=valid; fi ;;
            FAIL) verdict=INVALID ;;
            *) verdict=unknown ;;
        esac
        add_row maelstrom "$name" "$nemesis" "$nodes" - "$verdict" "$seconds" "$operations operations" \
            "$(sed -n "/^MAELSTROM REPORT — $name\$/,/^\$/s/^Anomalies found: //p" "$out/maelstrom.log")" "make maelstrom ARGS=$name"
    done < <(maelstrom_reports "$out/maelstrom.log")
    missing=$(comm -23 <(sort -u <<<"$listed") <(awk -F '\t' '$1 == "maelstrom" { print $2 }' "$rows" | sort))
    for name in $missing; do
        add_row maelstrom "$name" - - - unknown - - 'no report; see maelstrom.log' "make maelstrom ARGS=$name"
    done
    # Its 1 stands for reports that fail and for runs that gave none.
    [[ $code == 1 && -n $missing ]] || reconcile maelstrom "$code"
}

# name, nodes, seconds, operations, nemesis and result of each report in a log.
maelstrom_reports() {
    sed -nE -e 's/^MAELSTROM REPORT — (.*)/name \1/p' -e 's/^Result: +([A-Z]+).*/result \1/p' \
        -e 's/^Nodes: +([0-9]+) +Duration: +([0-9.]+)s +Operations: +([0-9]+) +Nemesis: +(.*)/facts \1\t\2\t\3\t\4/p' "$1" |
        awk '{ kind = $1; sub(/^[a-z]+ /, "") }
            kind == "name" { name = $0 }
            kind == "facts" { facts = $0 }
            kind == "result" { printf "%s\t%s\t%s\n", name, facts, $0 }'
}

has_docker() { command -v docker >/dev/null && docker info >/dev/null 2>&1; }

# The pairs of this part of the matrix, with nodes and seconds of load: workload, nemesis, nodes, seconds.
jepsen_pairs() {
    local workload nemesis number=0
    {
        for workload in ${workload_filter:+${workload_filter//,/ }} $([[ -n $workload_filter ]] || workloads); do
            for nemesis in ${nemesis_filter:+${nemesis_filter//,/ }} $([[ -n $nemesis_filter ]] || nemeses); do
                echo "$workload $nemesis 3 $time_limit"
            done
        done
        [[ -n $workload_filter$nemesis_filter || -z $long_limit ]] || long_runs | sed "s/[0-9]*\$/$long_limit/"
    } | while read -r workload; do
        # Neighbours in the matrix go to different parts, so that no part gets all of a slow workload.
        [[ $((number++ % parts)) != $((part - 1)) ]] || echo "$workload"
    done
}

# Jepsen and its plots run in the control container, whose Java and gnuplot are not this machine's.
note_control() {
    version 'java in control' docker/compose exec -T control java -version
    version 'gnuplot in control' docker/compose exec -T control gnuplot --version
} >>"$out/environment.tsv"

# One pair after the other and not test-all: a pair with trouble of the harness is tried again by itself, and has a row.
tier_jepsen() {
    local workload nemesis nodes limit seed begun name wrong
    has_docker || { skip_tier jepsen 'no docker engine here'; return; }
    mkdir -p "$out/jepsen"
    while read -r workload nemesis nodes limit <&3; do
        seed=$(seed_for "$master" jepsen "$workload" "$nemesis" "$nodes" "$limit") begun=$SECONDS
        name=$workload-$nemesis-$nodes-$limit
        local options=(--workload "$workload" --nemesis "$nemesis" --nodes "$nodes" --time-limit "$limit" --test-seed "$seed")
        jepsen_run "$out/jepsen/$name.log" "${options[@]}"
        wrong=
        [[ $run_verdict == valid ]] || wrong=$(what_is_wrong "$run_folder")
        run_note+=${wrong:+${run_note:+; }$wrong}
        add_row jepsen "$workload" "$nemesis" "$nodes" "$seed" "$run_verdict" "$((SECONDS - begun))" \
            "$(check_counts_in "$run_folder")" "$run_note" "jepsen/gossip-rs/bin/run test ${options[*]}"
        printf '%-8s %-22s %-24s %s nodes  seed %-10s %4d s  %s\n' \
            "$run_verdict" "$workload" "$nemesis" "$nodes" "$seed" "$((SECONDS - begun))" "$run_note"
    done 3< <(jepsen_pairs)
    note_control
}

# In a few words, from a report: what was violated, else the first of its notes that names a lack.
what_is_wrong() {
    local violated
    violated=$(violated_in "$1")
    if [[ -n $violated ]]; then
        echo "violated: $violated"
    else
        sed -nE '/^Notes:/,/^[A-Z]/s/^  ((coverage|left out|healing|nemesis|final reads|nodes|views|answers|checker [a-z-]+ failed|Knossos gave up|Elle: :unknown|Rust judge: [^a]).*)/\1/p' \
            "$1/report.txt" 2>/dev/null | head -n 1
    fi
}

tier_jepsen_mutants() {
    local code
    has_docker || { skip_tier jepsen-mutants 'no docker engine here'; return; }
    # What an earlier night left is no row of this one, should nothing be built now.
    rm -rf target/jepsen-mutants
    JEPSEN_MUTANT_SEED=$master tools/jepsen-mutants 2>&1 | tee "$out/jepsen-mutants.log"
    code=${PIPESTATUS[0]}
    [[ ! -d target/jepsen-mutants ]] || cp -r target/jepsen-mutants "$out/"
    note_control
    [[ ! -f target/jepsen-mutants/table.md ]] || rows_of_mutants jepsen-mutants target/jepsen-mutants/table.md "JEPSEN_MUTANT_SEED=$master tools/jepsen-mutants"
    reconcile jepsen-mutants "$code"
}
