# shellcheck shell=bash
# Reading what a run left behind, local tier and Jepsen tier alike: results.edn has the verdict, report.txt the table of checks.

# worse A B: of two verdicts the one that counts. False beats unknown beats true.
worse() {
    case "$1 $2" in
        *INVALID*) echo INVALID ;;
        *unknown*) echo unknown ;;
        *) echo valid ;;
    esac
}

# The verdict that an exit code stands for: those of Jepsen. Bad arguments and crashes say nothing about the system.
verdict_of_code() {
    case $1 in
        0) echo valid ;;
        1) echo INVALID ;;
        *) echo unknown ;;
    esac
}

code_of_verdict() {
    case $1 in
        valid) echo 0 ;;
        INVALID) echo 1 ;;
        *) echo 2 ;;
    esac
}

# The verdict in a run's folder. Only the outermost :valid? counts; those of the checkers stand further in.
verdict_in() {
    case $(grep -m1 -oE '^[{ ]:valid\? (true|false|:unknown)' "$1/results.edn" 2>/dev/null) in
        *true) echo valid ;;
        *false) echo INVALID ;;
        *) echo unknown ;;
    esac
}

# The rows of a report's table of checks: id, status, count.
checks_in() {
    sed -nE 's/^│.*\(([A-Z][0-9]*)\) *│ *([A-Z-]+) *│ *([0-9]+) *│.*/\1 \2 \3/p' "$1/report.txt" 2>/dev/null
}

# How often each check ran, on one line. What had nothing to compare is left out.
check_counts_in() {
    local counts
    counts=$(checks_in "$1" | awk '$3 > 0 { printf "%s%s %s", comma, $1, $3; comma = ", " }')
    echo "${counts:--}"
}

# The ids of what a run violated, as crates/gossip-harness/src/mutants.rs names them: those of the table and of the failing
# operations, L for linearizability, `node` for a node that died or logged an error. Elle judges strict serializability of
# checkpoint lists, so its word counts as L.
violated_in() {
    {
        checks_in "$1" | awk '$2 == "FAIL" { print $1 }'
        sed -nE -e 's/^.*VIOLATION ([A-Z][0-9]?|node): .*/\1/p' -e 's/^ *Valid history: no .*/L/p' -e 's/^ *Elle: false.*/L/p' \
            -e 's/^Trouble of the nodes:.*/node/p' "$1/report.txt" 2>/dev/null
        # The report shows a few findings; the results have all. Keys of the outermost map stand at the left.
        awk '/^[{ ]:[a-z]/ { inside = /^[{ ]:nodes/ } inside && /:valid\? false/ { print "node"; exit }' "$1/results.edn" 2>/dev/null
    } | sort -u | paste -sd ' '
}

# common_ids "S1 L" "L node": the ids that stand in both lists.
common_ids() {
    comm -12 <(tr ' ' '\n' <<<"$1" | sort -u) <(tr ' ' '\n' <<<"$2" | sort -u) | sed '/^$/d' | paste -sd ' '
}

# The command under `Reproduction` in a run's report.
command_in() {
    sed -n '/^Reproduction:/{n;s/^ *//p;q}' "$1/report.txt" 2>/dev/null
}

nodes_in() {
    sed -nE 's/^Nodes: ([0-9]+).*/\1/p' "$1/report.txt" 2>/dev/null
}
