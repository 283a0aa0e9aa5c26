# shellcheck shell=bash
# The rows in which nightly and sign-off keep what was run and what came of it. One row a line in rows.tsv, fields in this
# order, separated by tabs, `-` for an empty one:
#   tier  what  nemesis  nodes  seed  verdict  seconds  checks  note  command
# `what` is a workload, a level of the simulator, a run of Maelstrom, or a planted bug.
# Verdicts: valid, INVALID, unknown; of planted bugs caught, MISSED, unproven; skipped for a tier that cannot run here.

# add_row FIELDS...: appends to $rows.
add_row() {
    local field line=
    for field in "$@"; do
        # What would end a cell of a table, here or in Markdown.
        field=${field//[$'\t\n']/ }
        field=${field//|//}
        line+=${line:+$'\t'}${field:--}
    done
    printf '%s\n' "$line" >>"$rows"
}

# verdict_of_rows FILE [TIER]: false beats unknown beats true. A skipped tier is no verdict; who asked for it decides. A word that
# is none of ours is no pass.
verdict_of_rows() {
    awk -F '\t' -v tier="${2:-}" '
        tier != "" && $1 != tier { next }
        $6 == "INVALID" || $6 == "MISSED" { invalid = 1 }
        $6 !~ /^(valid|caught|skipped|INVALID|MISSED)$/ { unknown = 1 }
        END { print (invalid ? "INVALID" : unknown ? "unknown" : "valid") }' "$1"
}

tiers_in() { awk -F '\t' '!seen[$1]++ { print $1 }' "$1"; }

# How often each verdict occurs in a tier: "118 valid, 3 unknown".
tally() {
    awk -F '\t' -v tier="$2" '
        $1 == tier { if (!count[$6]++) order[++n] = $6 }
        END { for (i = 1; i <= n; i++) printf "%s%d %s", (i > 1 ? ", " : ""), count[order[i]], order[i]; print "" }' "$1"
}

# The rows of a tier as a table.
table_of_tier() {
    printf '| run | nemesis | nodes | seed | verdict | seconds | checks | note | command |\n|---|---|---|---|---|---|---|---|---|\n'
    awk -F '\t' -v tier="$2" '
        $1 == tier {
            verdict = ($6 == "valid" || $6 == "caught" ? $6 : "**" $6 "**")
            command = ($10 == "-" ? "-" : "`" $10 "`")
            printf "| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", $2, $3, $4, $5, verdict, $7, $8, $9, command
        }' "$1"
}

# Every tier with its tally and its table, as sections of a document.
sections() {
    local tier
    tiers_in "$1" | while read -r tier; do
        printf '\n## %s\n\n%s\n\n' "$tier" "$(tally "$1" "$tier")"
        table_of_tier "$1" "$tier"
    done
}
