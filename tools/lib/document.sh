# shellcheck shell=bash
# The sign-off document, from rows alone.
# Needs: reports.sh, rows.sh, catalogue.sh; $rows, $required_tiers and $folders.

# of_one_commit COMMIT FOLDER...: what was run on other code says nothing about this one.
of_one_commit() {
    local commit=$1 folder said
    shift
    for folder in "$@"; do
        said=$(fact commit "$folder")
        [[ $said == "$commit" ]] || { printf 'signoff: %s is of commit %s, and this is %s\n' "$folder" "$said" "$commit" >&2; return 1; }
    done
}

# fact NAME FOLDER...: its distinct values in what nightly noted about its machines.
fact() {
    local name=$1
    shift
    awk -F '\t' -v name="$name" '$1 == name && !seen[$2]++ { printf "%s%s", separator, $2; separator = "; " }' \
        "${@/%//environment.tsv}"
}

# What a valid sign-off must not lack, one line for each lack.
gaps() {
    local tier folder
    for folder in "${folders[@]}"; do
        [[ -n $(fact ended "$folder") ]] || echo "$folder: nightly did not come to its end there"
    done
    for tier in $required_tiers; do
        if ! tiers_in "$rows" | grep -qxF "$tier"; then
            echo "tier $tier: not run"
            continue
        fi
        awk -F '\t' -v tier="$tier" '$1 == tier && $6 == "skipped" { print "tier " tier ": skipped, " $9 }' "$rows"
    done
    lacks simulation 'levels' < <(comm -23 <(printf 'level %s\n' 1 2 3) <(column_of simulation '$2' | sort -u))
    for tier in local jepsen; do
        lacks "$tier" 'pairs of workload and nemesis' < <(comm -23 <(pairs | sort) <(column_of "$tier" '$2 " " $3' | sort -u))
    done
    lacks jepsen 'pairs under long load' < <(long_runs_missing)
    for tier in mutants jepsen-mutants; do
        lacks "$tier" 'planted bugs' < <(comm -23 <(planted | cut -d' ' -f1 | sort) <(column_of "$tier" '$2' | sort -u))
    done
}

# The long runs that no row shows, each with the load that it owes. How long a row's load was is in its command alone.
long_runs_missing() {
    local workload nemesis nodes seconds longest
    while read -r workload nemesis nodes seconds; do
        longest=$(column_of jepsen '$2 " " $3 " " $4 " " $10' |
            sed -nE "s/^$workload $nemesis $nodes .*--time-limit ([0-9]+).*/\1/p" | sort -n | tail -n 1)
        [[ ${longest:-0} -ge $seconds ]] || echo "$workload $nemesis on $nodes nodes for $seconds s"
    done < <(long_runs)
}

pairs() {
    local workload nemesis
    for workload in $(workloads); do
        for nemesis in $(nemeses); do echo "$workload $nemesis"; done
    done
}

column_of() {
    awk -F '\t' -v tier="$1" '$1 == tier && $6 != "skipped" { print '"$2"' }' "$rows"
}

# lacks TIER WHAT <NAMES: nothing for a tier that has no row at all, since that is said already.
lacks() {
    local names
    mapfile -t names
    [[ ${#names[@]} -eq 0 || -z $(column_of "$1" '$2') ]] ||
        echo "tier $1: ${#names[@]} $2 without a run: $(printf '%s\n' "${names[@]}" | paste -sd ',' | sed 's/,/, /g')"
}

verdict_of_document() {
    worse "$(verdict_of_rows "$rows")" "$([[ -z $(gaps) ]] && echo valid || echo unknown)"
}

# "20 of 21" bugs of a tier.
caught_in() {
    awk -F '\t' -v tier="$1" '
        $1 == tier && $6 == "caught" { caught++ }
        $1 == tier && $6 ~ /^(caught|MISSED|unproven)$/ { all++ }
        END { printf "%d of %d", caught, all }' "$rows"
}

# write_document VERSION FOLDER...
write_document() {
    local version=$1 name tier
    shift
    printf '# Sign-off of %s\n\n| | |\n|---|---|\n| verdict | **%s** |\n' "$version" "$(verdict_of_document)"
    printf '| planted bugs caught, local tier | %s |\n| planted bugs caught, Jepsen tier | %s |\n' \
        "$(caught_in mutants)" "$(caught_in jepsen-mutants)"
    cut -f1 "${@/%//environment.tsv}" | awk '!seen[$0]++' | while read -r name; do
        printf '| %s | %s |\n' "$name" "$(fact "$name" "$@")"
    done
    reasons
    printf '\n## Summary\n\n| tier | rows | seconds |\n|---|---|---|\n'
    for tier in $(tiers_in "$rows"); do
        printf '| %s | %s | %s |\n' "$tier" "$(tally "$rows" "$tier")" "$(column_of "$tier" '$7' | awk '{ sum += $1 } END { print sum + 0 }')"
    done
    printf '\nEach row below ends with the command that repeats it at this commit, from the top of the checkout, with `target/release` on `PATH`.\n'
    printf '`NIGHTLY_SEED=%s tools/signoff %s` repeats all of them where the sizes above are those of the environment.\n' "$(fact 'master seed' "$@")" "$version"
    sections "$rows"
}

# Why the verdict is not valid, and what `make test` left out.
reasons() {
    local bad lacking skipped
    bad=$(awk -F '\t' '$6 !~ /^(valid|caught|skipped)$/ { printf "- %s: %s, %s: %s%s\n", $6, $1, $2, $3, ($9 == "-" ? "" : " (" $9 ")") }' "$rows")
    lacking=$(gaps | sed 's/^/- /')
    skipped=$(awk -F '\t' '$1 == "test" && $9 ~ /skipped: / { print "- make test " $9 }' "$rows")
    [[ -z $bad ]] || printf '\n## Not valid\n\n%s\n' "$bad"
    [[ -z $lacking ]] || printf '\n## Not run: at best unknown\n\n%s\n' "$lacking"
    [[ -z $skipped ]] || printf '\n## Steps left out, for want of a tool\n\n%s\n' "$skipped"
}
