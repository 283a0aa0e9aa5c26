# shellcheck shell=bash
# The names of workloads, nemeses and planted bugs, from the program and the table that own them, and seeds for runs of them.

workloads() { target/release/gossip-verify list | sed -nE '/^workloads/,/^nemeses/s/^  ([a-z][a-z-]*).*/\1/p'; }
nemeses() { target/release/gossip-verify list | sed -nE '/^nemeses/,$s/^  ([a-z][a-z-]*).*/\1/p'; }

# Jepsen's runs beside the matrix, which has three nodes and short runs: workload, nemesis, nodes, and the seconds of load that a
# sign-off asks for.
long_runs() { printf '%s\n' 'full-lifecycle combined 5 300' 'lease-exclusivity pause-random-node 3 120'; }

# seed_for MASTER WORDS...: a seed for what the words name. It depends on nothing else, so a part of a matrix gives its runs
# the same seeds as the whole.
seed_for() {
    local hash
    hash=$(printf '%s/' "$@" | sha256sum)
    echo $((16#${hash:0:8} & 0x7fffffff))
}

fresh_seed() { echo $((RANDOM << 15 | RANDOM)); }

kebab() { sed -E 's/([a-z])([A-Z])/\1-\2/g' <<<"$1" | tr '[:upper:]' '[:lower:]'; }

# The planted bugs, one a line: name, workload, nemesis, then the ids of which it violates at least one.
planted() {
    local name workload nemesis ids
    # rustfmt breaks a long row over several lines.
    tr -s '\n ' ' ' <crates/gossip-harness/src/mutants.rs |
        grep -oE 'row\( ?"[a-z0-9-]+", Kind::[A-Za-z]+, Nemesis::[A-Za-z]+, &\[[^]]*\]' |
        sed -E 's/^row\( ?"([^"]+)", Kind::([A-Za-z]+), Nemesis::([A-Za-z]+), &\[(.*)\]/\1 \2 \3 \4/; s/[",]//g' |
        while read -r name workload nemesis ids; do
            printf '%s %s %s %s\n' "$name" "$(kebab "$workload")" "$(kebab "$nemesis")" "$ids"
        done
}
