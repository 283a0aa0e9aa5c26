# shellcheck shell=bash
# What the tests need beside cargo: used if it is here, installed if that asks nobody anything.

have() { command -v "$1" >/dev/null; }

# Debian's packages, on a machine where that needs no password: as root, such as in CI and in containers.
apt_install() {
    [[ $(id -u) == 0 ]] && have apt-get || return 1
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"; } >/dev/null 2>&1
}

# rust_component NAME PROBE...: the probe fails when the toolchain lacks the component.
rust_component() {
    local name=$1
    shift
    "$@" >/dev/null 2>&1 || { have rustup && timeout 300 rustup component add "$name" >/dev/null 2>&1; }
}

rust_target() {
    local folder
    folder=$(rustc --print sysroot)/lib/rustlib/$1
    # Without a network rustup tries for long.
    [[ -d $folder ]] || { have rustup && timeout 60 rustup target add "$1" >/dev/null 2>&1 && [[ -d $folder ]]; }
}
