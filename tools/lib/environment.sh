# shellcheck shell=bash
# On what a run was made: the commit and the versions of what took part. One `name<TAB>value` a line.

environment() {
    local commit
    commit=$(git rev-parse HEAD)
    [[ -z $(git status --porcelain --untracked-files=no) ]] || commit+=' with changes'
    printf 'commit\t%s\n' "$commit"
    version rustc rustc --version
    version cargo cargo --version
    version java java -version
    version leiningen lein version
    version docker docker version --format '{{.Server.Version}}'
    version gnuplot gnuplot --version
    printf 'Jepsen\t%s\n' "$(sed -nE 's/.*\[jepsen "([^"]+)"\].*/\1/p' jepsen/gossip-rs/project.clj)"
    printf 'Maelstrom\t%s\n' "$(maelstrom_jar)"
    printf 'system\t%s, %s processors\n' "$(system)" "$(nproc)"
}

# version NAME COMMAND...: the first line with a number of two parts that it says.
version() {
    local name=$1 said
    shift
    command -v "$1" >/dev/null || { printf '%s\tnot here\n' "$name"; return; }
    said=$(timeout 60 "$@" 2>&1 </dev/null | grep -m1 -E '[0-9]\.[0-9]')
    printf '%s\t%s\n' "$name" "${said:-gives no version}"
}

# Maelstrom has no command that tells its version: its digest does.
maelstrom_jar() {
    local program
    # shellcheck disable=SC2153 # the user's variable
    program=$(realpath -q "${MAELSTROM:-$(command -v maelstrom)}")
    [[ -x $program ]] || { echo 'not here'; return; }
    sha256sum "$(dirname "$program")/lib/maelstrom.jar" 2>/dev/null | sed -E 's/^(.{16}).*/maelstrom.jar, SHA-256 \1…/' | grep . || echo 'of unknown version'
}

system() {
    # shellcheck source=/dev/null
    (. /etc/os-release 2>/dev/null && printf '%s, ' "$PRETTY_NAME")
    uname -srm
}
