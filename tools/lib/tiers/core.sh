# shellcheck shell=bash
# The tiers of nightly that need cargo alone. Each is a function that adds its rows.
# Needs: reports.sh, rows.sh, catalogue.sh; the variables of tools/nightly.

# reconcile TIER CODE: a program's own exit code must not be better than the rows that were read from its output.
reconcile() {
    local tier=$1 code=$2 said read
    said=$(verdict_of_code "$code") read=$(verdict_of_rows "$rows" "$tier")
    [[ $(worse "$said" "$read") == "$read" ]] ||
        add_row "$tier" 'as a whole' - - - "$said" - - "exit $code, which no row explains; see $tier.log" -
}

tier_test() {
    local begun=$SECONDS code
    # Not by make, which has one exit code for all that fails.
    bash tools/test 2>&1 | tee "$out/test.log"
    code=${PIPESTATUS[0]}
    add_row test 'make test' - - - "$(verdict_of_code "$code")" "$((SECONDS - begun))" \
        "$(grep -E '^[0-9]+ passed, ' "$out/test.log" | tail -n 1)" \
        "$(sed -nE -e 's/^FAILED +[0-9]+ s +(.*)/failed: \1;/p' -e 's/^skipped: (.*)/skipped: \1;/p' "$out/test.log" | paste -sd ' ')" 'make test'
}

# Levels one by one: what one never reached, or a crash in it, says nothing about the next.
tier_simulation() {
    local level seed begun code line seeds note verdict
    for level in 1 2 3; do
        seed=$(seed_for "$master" simulation "$level") begun=$SECONDS
        target/release/gossip-sim sweep --levels "$level" --seed "$seed" --seconds "$((sim_seconds / 3))" 2>&1 |
            tee "$out/simulation-$level.log"
        code=${PIPESTATUS[0]}
        line=$(grep -m1 "^level $level: seeds " "$out/simulation-$level.log")
        seeds=$(sed -nE 's/.*: seeds ([0-9]+)\.\.([0-9]+) .*/\1 \2/p' <<<"$line" | awk '{ printf "%d", $2 - $1 }')
        note=$(sed -nE 's/^(VIOLATION .*|level [0-9]+: (never reached: .*))/\1/p' "$out/simulation-$level.log" | head -n 1)
        verdict=$(verdict_of_code "$code")
        # The simulator fails for what a sweep never reached. That is too short a sweep, and no violation.
        [[ $note != level*never* || $line != *' 0 failed,'* ]] || verdict=unknown
        # Nor does a sweep of nothing pass.
        [[ ${seeds:-0} -gt 0 ]] || { verdict=$(worse "$verdict" unknown) note=${note:-"no seed was run, exit $code; see simulation-$level.log"}; }
        add_row simulation "level $level" drawn drawn "$seed" "$verdict" "$((SECONDS - begun))" \
            "${seeds:-0} seeds$(grep -oE ', [0-9]+ applies' <<<"$line")" "$note" \
            "gossip-sim sweep --levels $level --seed $seed --seeds ${seeds:-1}"
    done
}

# Its rows are those of the program's own summary, checks and command from each run's folder.
tier_local() {
    local code summary workload nemesis seed said seconds why folder verdict command
    local options=(--test-seed "$master" --time-limit "$time_limit" --jobs "$jobs" --store "$out/local")
    target/release/gossip-verify test-all "${options[@]}" ${workload_filter:+--workload "$workload_filter"} \
        ${nemesis_filter:+--nemesis "$nemesis_filter"} 2>&1 | tee "$out/local.log"
    code=${PIPESTATUS[0]}
    summary=$(find "$out/local/test-all" -name summary.md 2>/dev/null | head -n 1)
    while IFS='|' read -r _ workload nemesis seed said seconds why; do
        case $said in
            *PASS*) verdict=valid ;;
            *FAIL*) verdict=INVALID ;;
            *UNKNOWN*) verdict=unknown ;;
            *) continue ;;
        esac
        workload=${workload// /} nemesis=${nemesis// /} seed=${seed// /}
        # The last cell is `why, folder`; a run that could not be carried out has no folder.
        why=$(sed -E 's/[ |]+$//' <<<"$why") folder=${why##*[ ,]}
        [[ -f $folder/report.txt ]] || folder=
        command=$(command_in "$folder")
        add_row local "$workload" "$nemesis" "$(nodes_in "$folder")" "$seed" "$verdict" "${seconds// /}" \
            "$(check_counts_in "$folder")" "$(sed -E 's/[ ,]+$//' <<<"${why%"$folder"}")" \
            "${command:-gossip-verify test --workload $workload --nemesis $nemesis --time-limit $time_limit --test-seed $seed}"
    done < <(cat "${summary:-/dev/null}")
    reconcile local "$code"
}

tier_mutants() {
    local code
    tools/mutants --time-limit 15 --tries 6 2>&1 | tee "$out/mutants.log"
    code=${PIPESTATUS[0]}
    rows_of_mutants mutants "$out/mutants.log" 'tools/mutants --time-limit 15 --tries 6 --only'
    reconcile mutants "$code"
}

# rows_of_mutants TIER FILE COMMAND: from a table `mutant, workload, nemesis, caught by, seed, seconds`. Controls are runs
# without a bug: their verdict is one of the service.
rows_of_mutants() {
    local tier=$1 table=$2 command=$3 name workload nemesis caught seed seconds verdict repeat
    while IFS='|' read -r _ name workload nemesis caught seed seconds _; do
        name=${name// /} caught=$(sed -E 's/^ +| +$//g; s/\*\*//g' <<<"$caught")
        case $name/$caught in
            mutant/* | -* | /*) continue ;;
            control/PASS*) verdict=valid ;;
            control/FAIL*) verdict=INVALID ;;
            control/*) verdict=unknown ;;
            */unproven* | */unknown*) verdict=unproven ;;
            */missed*) verdict=MISSED ;;
            # Caught is only what names what it violated.
            *) if [[ $caught =~ ^(([A-Z][0-9]?|node)\ ?)+$ ]]; then verdict=caught; else verdict=unproven; fi ;;
        esac
        # A control has no command of its own: it comes before the bugs of its pair.
        if [[ $name == control ]]; then name='no bug (control)' repeat=-; else repeat="$command $name"; fi
        [[ $verdict != caught ]] || caught="caught by $caught"
        add_row "$tier" "$name" "${nemesis// /}" 3 "${seed// /}" "$verdict" "${seconds// /}" - "${workload// /}: $caught" "$repeat"
    done < <(grep '^|' "$table")
}
