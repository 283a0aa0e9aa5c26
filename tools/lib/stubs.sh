# shellcheck shell=bash
# A checkout in which nothing is built or started, for tools/selftest: the release tools are the real ones, and what they run is
# a stub that answers from the file `plan`. One line a run: WORKLOAD NEMESIS MUTANT ANSWER...; `-` for no mutant, one answer for
# each time it is run, the last one from then on. An answer is valid, unknown, crash, lein (no history was judged), late (judged, then a
# crash), hang (never ends by itself), signal (who runs it is told to end), or the violated ids joined by `+`. Runs without a line are valid.
# Without a judgement, but with a folder: quiet (nothing to be said against the nodes), mute (one did not serve), died (one ended by itself), panic (one logged it), stored:X (with a history
# of which gossip-verify says X, an answer of these).

make_world() {
    local world=$1
    mkdir -p "$world"/{target/release,path,docker,crates/gossip-harness/src,jepsen/gossip-rs/bin}
    cp -r tools "$world/"
    cp -r --parents jepsen/gossip-rs/{project.clj,resources,src/gossip_rs/invariants/g2.clj} "$world/"
    cp .gitignore "$world/"
    stub_mutants >"$world/crates/gossip-harness/src/mutants.rs"
    stub path/cargo 'exit 0'
    # Slow to tell their versions.
    stub path/lein 'echo Leiningen 0.0'
    stub path/java 'echo openjdk 0.0'
    stub path/docker 'exit "$(cat "$WORLD/no-docker" 2>/dev/null || echo 0)"'
    stub docker/compose 'echo openjdk 21.0'
    stub target/release/gossip-sim '[[ ! -e $WORLD/no-seeds ]] || exit 0
        while [[ $1 != --levels ]]; do shift; done
        echo "level $2: seeds 1..101  0 failed, 0 undecided  9 seeds/s  9 x real time  500 operations, 700 applies checked  1.0 s"'
    stub target/release/gossip-verify "$(declare -f stub_report stub_check stub_verify); stub_verify \"\$@\""
    stub jepsen/gossip-rs/bin/run "$(declare -f stub_report stub_unjudged stub_answer stub_run); stub_run \"\$@\""
    stub tools/mutants 'printf "| %s | %s | %s | %s | %s | %s |\n" mutant workload nemesis "caught by" seed seconds first one none "L S1" 5 3 \
        second two pause S4 6 4 third two pause "$(cat "$WORLD/third" 2>/dev/null || echo S4)" 7 4'
    stub tools/maelstrom '[[ ! -e $WORLD/no-maelstrom ]] || exit 3
        for name in echo hub; do
            printf "MAELSTROM REPORT — %s\n═══\nNodes: 1   Duration: 5s   Operations: 50   Nemesis: none\nResult: PASS\n\n" "$name"
        done
        [[ ! -e $WORLD/no-pause ]] || { printf "unknown: hub\nwithout a report: kafka\n"; exit 255; }'
    stub tools/test 'if [[ -e $WORLD/broken ]]; then printf "FAILED       1 s  format (exit 1)\n\n2 passed, 1 failed, 0 skipped\n"; exit 1; fi
        printf "\nskipped: lint (no linter)\n\n2 passed, 0 failed, 1 skipped\n"'
    git -C "$world" init -q
    git -C "$world" add .
    git -C "$world" -c user.name=selftest -c user.email=selftest@localhost commit -qm 'a world of stubs'
}

# stub FILE BODY: a program of the world.
stub() {
    printf '#!/usr/bin/env bash\nWORLD=%q\n%s\n' "$world" "$2" >"$world/$1"
    chmod +x "$world/$1"
}

# Rows as rustfmt writes them, a long one broken.
stub_mutants() {
    cat <<'RUST'
const fn row(name: &'static str, workload: Kind, nemesis: Nemesis, violates: &'static [&'static str]) -> Planted {
pub const ALL: &[Planted] = &[
    always(row("first", Kind::One, Nemesis::None, &["S1", "L"])),
    row("second", Kind::Two, Nemesis::Pause, &["S4"]),
    row(
        "third",
        Kind::Two,
        Nemesis::Pause,
        &["S4", "node"],
    ),
];
RUST
}

# stub_report FOLDER ANSWER WORKLOAD: results.edn and report.txt.
stub_report() {
    local valid=true id
    case $2 in valid | late) ;; unknown) valid=:unknown ;; *) valid=false ;; esac
    mkdir -p "$1"
    printf '{:perf\n {:valid? true,\n  :rate {:valid? false}},\n :valid? %s,\n :nodes\n {:deaths [],\n  :valid? %s},\n :stats {:valid? false}}\n' \
        "$valid" "$([[ +$2+ == *+node+* ]] && echo false || echo true)" >"$1/results.edn"
    {
        printf 'JEPSEN REPORT — %s\nNodes: 3            Duration: 9.0s\n' "$3"
        printf '  Valid history: %s     Checker: knossos\n' "$([[ +$2+ == *+L+* ]] && echo no || echo yes)"
        for id in S1 S2 S4 S6; do
            printf '│ Name (%s) │ %s │ 12 │\n' "$id" "$([[ +$2+ == *+$id+* ]] && echo FAIL || echo PASS)"
        done
        printf '│ Gossip convergence (G1) │ - │ 0 │\n'
        [[ +$2+ != *+Elle+* ]] || printf 'Failing operations:\n  t=1.0s :ok checkpoint   ← VIOLATION Elle: checkpoint lists: G1c\n'
        printf 'Notes:\n'
        [[ $2 != unknown ]] || printf '  coverage: no pause took hold\n'
        printf '  Elle: %s, 12 transactions\n' "$([[ +$2+ == *+Elle+* ]] && echo false || echo true)"
        printf 'Reproduction:\n  some command\n'
    } >"$1/report.txt"
}

# The next answer that the plan has for a run.
stub_answer() {
    local count answers
    echo "$*" >>"$WORLD/calls"
    count=$(grep -cx -- "$*" "$WORLD/calls")
    read -ra answers < <(sed -n "s/^$1 $2 $3 //p" "$WORLD/plan" 2>/dev/null; echo)
    [[ ${#answers[@]} -gt 0 ]] || answers=(valid)
    [[ $count -le ${#answers[@]} ]] || count=${#answers[@]}
    echo "${answers[count - 1]}"
}

# stub_unjudged FOLDER ANSWER: what Jepsen leaves of a run that ended before its judgement.
stub_unjudged() {
    mkdir -p "$1/n1" "$1/n2"
    : >"$1/deaths.edn"
    echo '{"level":"INFO","message":"no \"ERROR\" here"}' | tee "$1/n1/gossip-worker.log" >"$1/n2/gossip-worker.log"
    case $2 in
        died) echo '{:node "n1", :time nil, :last-line "the disk is read-only"}' >"$1/deaths.edn" ;;
        panic) echo "thread 'main' panicked at src/main.rs:1:1:" >>"$1/n2/gossip-worker.log" ;;
        stored:*) echo "${2#stored:}" >"$1/history.edn" ;;
        loaded) printf 'INFO jepsen worker 0 - jepsen.print 0\t:invoke\t:acquire\n' >"$1/jepsen.log" ;;
    esac
}

# As jepsen/gossip-rs/bin/run.
stub_run() {
    local workload nemesis mutant=- seed answer
    while [[ $# -gt 0 ]]; do
        case $1 in
            --workload) workload=$2 ;;
            --nemesis) nemesis=$2 ;;
            --mutant) mutant=$2 ;;
            --test-seed) seed=$2 ;;
        esac
        shift
    done
    answer=$(stub_answer "$workload" "$nemesis" "$mutant")
    case $answer in
        crash) echo 'no node answers' && exit 255 ;;
        hang) exec sleep 300 ;;
        lein) echo 'lein cannot start' && exit 1 ;;
        quiet | mute | loaded | died | panic | stored:*)
            stub_unjudged "$WORLD/jepsen/gossip-rs/store/$workload-$nemesis/$seed-$RANDOM" "$answer"
            [[ $answer != mute ]] || echo 'n1 does not serve within 30000 ms'
            echo 'n1 is left as it is' && exit 255
            ;;
        # Its parent is what bounds it.
        signal) kill -TERM "$(ps -o ppid= -p "$PPID" | tr -d ' ')" && exit 255 ;;
    esac
    stub_report "$WORLD/jepsen/gossip-rs/store/$workload-$nemesis/$seed-$RANDOM" "$answer" "$workload"
    case $answer in valid) exit 0 ;; unknown) exit 2 ;; late) exit 255 ;; *) exit 1 ;; esac
}

# As gossip-verify check --gossip-bound SECONDS FILE, of the history of an unjudged run.
stub_check() {
    local answer
    [[ $2 == --gossip-bound && $3 =~ ^[0-9]+$ ]] || exit 254
    answer=$(cat "$4")
    stub_report "$WORLD/check" "$answer" check
    cat "$WORLD/check/report.txt"
    case $answer in valid) exit 0 ;; unknown) exit 2 ;; crash) exit 101 ;; *) exit 1 ;; esac
}

# As gossip-verify: its list, a matrix in which everything passes, and what it makes of one history.
stub_verify() {
    local command=$1 store workload nemesis
    [[ $command != check ]] || stub_check "$@"
    if [[ $command == list ]]; then
        printf 'workloads (default nemesis):\n  one   (none)\n  two   (pause)\nnemeses:\n  none\n  pause\n'
        return
    fi
    while [[ $1 != --store ]]; do shift; done
    store=$2
    mkdir -p "$store/test-all/now"
    for workload in one two; do
        for nemesis in none pause; do
            stub_report "$store/$workload-$nemesis/now" valid "$workload"
            echo "| $workload | $nemesis | 7 | PASS | 9 | $store/$workload-$nemesis/now |"
        done
    done >"$store/test-all/now/summary.md"
}
